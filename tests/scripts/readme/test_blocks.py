"""Every Python and shell block of every README runs, and gains what the text says."""

from pathlib import Path

import keras
import numpy as np
import pytest

import tfprune
from tests.support import guide_commands, guides
from tests.support.guides import GUIDES, ROOT, GuideRun
from tfprune.export.run import micro

RUNS: dict[str, GuideRun] = {}  # each guide runs once


@pytest.fixture
def ran(tmp_path_factory):
    """Runs a guide, by its path from the root, unless it has run before."""

    def run(name: str) -> GuideRun:
        if name not in RUNS:
            keras.utils.set_random_seed(0)
            RUNS[name] = guides.run(ROOT / name, tmp_path_factory.mktemp("guide"))
        return RUNS[name]

    return run


def kernels(model: keras.Model) -> list[np.ndarray]:
    return [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]


def zeros(model: keras.Model) -> list[float]:
    """The share of zeros in each kernel."""
    return [round(float(np.mean(kernel == 0)), 2) for kernel in kernels(model)]


def zeros_in_all(model: keras.Model) -> float:
    """The share of zeros in all kernels together."""
    return float(np.mean(np.concatenate([kernel.ravel() for kernel in kernels(model)]) == 0))


@pytest.mark.parametrize("guide", GUIDES, ids=guides.name_of)
def test_every_block_is_python_shell_or_output(guide):
    text = guide.read_text(encoding="utf-8")
    found = guides.blocks(text)
    assert {block.language for block in found} <= {"python", "sh", "text"}
    assert text.count("```") == 2 * len(found), "a fence is not at the beginning of its line"
    assert max((len(line) for b in found for line in b.text.splitlines()), default=0) <= 100


@pytest.mark.parametrize("guide", GUIDES, ids=guides.name_of)
def test_every_block_runs_in_order(guide, ran):
    ran(guides.name_of(guide))


def test_output_that_is_not_printed_is_told_from_the_guide(tmp_path, monkeypatch):
    monkeypatch.setattr(guides, "name_of", lambda guide: guide.name)
    guide = tmp_path / "README.md"
    guide.write_text("# A\n\n```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    with pytest.raises(AssertionError, match="line 7"):
        guides.run(guide, tmp_path)
    guide.write_text("# A\n\n```python\nprint(1 + 1)\n```\n\n```text\n2\n```\n")
    assert guides.run(guide, tmp_path).printed == "2\n"


@pytest.mark.parametrize(
    "line",
    [
        "tfprune prune model.keras --sparsitty 0.5",
        "./scripts/quickstart.sh --epoch 3",
        "./scripts/none.sh",
        "python -m scripts.bench.core --runds 3",
        "python -m scripts.none",
        "pip install '.[none]'",
        "rm -r model.keras",
    ],
)
def test_a_command_that_does_not_exist_is_found(line):
    (words,) = guide_commands.command_lines(line)
    with pytest.raises((AssertionError, OSError, ImportError)):
        guide_commands.check_command(words, mention=True)


def test_a_command_that_fails_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError):
        guide_commands.run_commands("tfprune report none.h5\n", Path(tmp_path))


def test_the_example_of_the_readme_prunes_trains_and_exports(ran):
    example = ran("README.md")
    names = example.after("UpdatePruningStep")
    assert not tfprune.wrapping.pruned_layer.pruned_layers(names["model"])
    plain, model = names["plain"], names["model"]
    assert zeros(plain)[:2] == [0.9, 0.9]
    before, after = (m.evaluate(*names["test"], verbose=0)[1] for m in (model, plain))
    assert after > before - 0.02 > 0.85  # "by less than two points"
    assert {file.name for file in example.folder.iterdir()} == {"sparse.tflite"}
    dense = tfprune.export.to_tflite(model, example.folder / "dense.tflite", target="desktop")
    assert (
        8 < dense.bytes / (example.folder / "sparse.tflite").stat().st_size < 10
    )  # "8 to 10 times"


def test_the_example_of_the_readme_has_at_most_15_lines():
    (example,) = [b for b in guides.blocks(guides.read("README.md")) if b.language == "python"]
    assert len([line for line in example.text.splitlines() if line.strip()]) <= 15


def test_a_trained_model_is_pruned_at_once_with_the_accuracies_of_the_text(ran):
    guide = ran("tfprune/README.md")
    names = guide.after("naive")
    for model in ("plain", "naive"):
        assert zeros_in_all(names[model]) == pytest.approx(0.9, abs=1e-3)
    found = [names["accuracy"](names[model]) for model in ("model", "plain", "naive")]
    assert np.allclose(found, [0.96, 0.91, 0.45], atol=0.04)
    assert "falls from 0.96 to 0.91; by magnitude it falls to 0.45" in guides.read(
        "tfprune/README.md"
    )
    assert "predicted change" in guide.printed


def test_gradual_pruning_keeps_the_accuracy(ran):
    names = ran("tfprune/README.md").after("PolynomialDecay")
    plain = tfprune.strip_pruning(names["pruned"])
    assert zeros(plain) == [0.9, 0.9] and names["accuracy"](plain) > 0.9


def test_the_options_are_those_of_prune(ran):
    names = ran("tfprune/README.md").after("shaped = ")
    logits = names["shaped"].get_layer("logits")
    assert logits.structure == tfprune.Block(4, 1)
    assert logits.pruned[0].schedule.final_sparsity == 0.5


def test_gradients_decide_while_training(ran):
    names = ran("tfprune/README.md").after("Taylor")
    plain = tfprune.strip_pruning(names["by_loss"])
    assert zeros_in_all(plain) == pytest.approx(0.9, abs=1e-3)


def test_two_lines_in_a_custom_loop_keep_the_masks_on_schedule(ran):
    names = ran("tfprune/README.md").after("PruningUpdater")
    found, wanted = zeros(tfprune.strip_pruning(names["pruned"])), names["schedule"](40)
    assert len(names["batches"]) == 40 and np.allclose(found, wanted, atol=0.01)


def test_a_model_pruned_for_a_target_is_a_smaller_file(ran):
    names = ran("tfprune/README.md").after("structures_for")
    assert zeros(names["plain"]) == [0.85, 0.0] and names["accuracy"](names["plain"]) > 0.8
    assert names["told"].bytes < 0.6 * names["told"].dense_bytes


def test_the_exported_file_runs_on_a_sparse_kernel_and_is_smaller(ran):
    guide = ran("tfprune/export/README.md")
    names = guide.after("dense.tflite")
    size = {name: (guide.folder / f"{name}.tflite").stat().st_size for name in ("sparse", "dense")}
    assert 8 < size["dense"] / size["sparse"] < 10  # "less than an eighth"
    kernels = [layer.kernel for layer in names["told"].coverage.layers]
    assert kernels == ["dense", "sparse 1x4", "dense"]  # the first is too small to pay
    for said in ("sparse 1x4", "int8.tflite: ", "dense: ", "times as fast as dense"):
        assert said in guide.printed


def test_the_exported_model_kept_its_zeros_and_learned(ran):
    names = ran("tfprune/export/README.md").after("dense.tflite")
    assert zeros(names["plain"]) == [0.9, 0.9, 0.9]
    guesses = names["plain"].predict(names["x"], verbose=0).argmax(-1)
    assert np.mean(guesses == names["y"]) > 0.8


@pytest.mark.skipif(not micro.is_installed(), reason="needs the tflite-micro package")
def test_the_file_for_a_microcontroller_is_encoded(ran):
    told = ran("tfprune/export/README.md").after("microcontroller")["told"]
    assert told.coverage.target == "microcontroller" and told.coverage.defects == ()
    assert {entry.encoding for entry in told.encodings} <= {"Huffman", "bit mask"}
    assert 1 < told.micro.bits_per_weight < 2 and told.micro.decoders == len(told.encodings)


def test_the_reference_models_are_built_and_their_data_loaded(ran):
    guide = ran("models/README.md")
    names = guide.after("models.build")
    for name in ("mobilenet-v1-0.5", "lstm-small", "nmt-256"):
        assert f"'{name}'" in guide.printed
    assert names["small"].output_shape == (None, 10)
    assert len(names["digits"].x_train) == 1437
