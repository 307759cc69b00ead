"""README.md: its code runs, its tables are those of the files, and what it names exists."""

import contextlib
import io
import json
import re
import shutil
from functools import reduce
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfprune
from scripts.readme import command
from tfprune.cli import main as command_line

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
EXAMPLE, OPTIONS, AT_ONCE, BY_GRADIENTS, LOOP, MODELS, EXPORT, MIGRATION = BLOCKS


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """The first cell of every table row, without headings and rules."""
    return [row.split(" | ")[0][2:] for row in text.splitlines() if row.startswith("| `")]


def names_in(cells: list[str]) -> list[str]:
    """What the code spans name: `Block(h, w)` names Block."""
    return [name for cell in cells for name in re.findall(r"`([A-Za-z_][\w.]*)", cell)]


def exists(owner: Any, dotted: str) -> bool:
    try:
        reduce(getattr, dotted.split("."), owner)
    except AttributeError:
        return False
    return True


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the example leaves behind, and the `folder` it ran in."""
    folder = tmp_path_factory.mktemp("example")
    names: dict[str, Any] = {"folder": folder}
    keras.utils.set_random_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(EXAMPLE, names)
    return names


def test_the_example_prunes_trains_and_exports(example):
    kernels = [layer.kernel.numpy() for layer in example["plain"].layers]
    assert [round(float(np.mean(kernel == 0)), 3) for kernel in kernels] == [0.9, 0.9]
    example["plain"].compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    assert example["plain"].evaluate(example["x"], example["y"], verbose=0)[1] > 0.8
    written = {file.name for file in example["folder"].iterdir()}
    assert written == {"digits.tflite", "report.html"}


def test_the_example_has_at_most_15_lines():
    lines = [line for line in EXAMPLE.splitlines() if line.strip()]
    assert len(lines) <= 15
    assert max(map(len, lines)) <= 100


def test_the_options_are_those_of_prune(example):
    assert not tfprune.wrapping.pruned_layer.pruned_layers(example["model"])
    pruned = eval(OPTIONS, dict(example))
    logits = pruned.get_layer("logits")
    assert logits.structure == tfprune.Block(4, 1)
    assert logits.pruned[0].schedule.final_sparsity == 0.5


def test_a_trained_model_is_pruned_at_once(example, capsys):
    names = {**example, "model": example["plain"]}
    exec(AT_ONCE, names)
    assert "predicted change" in capsys.readouterr().out
    zeros = [float(np.mean(layer.kernel.numpy() == 0)) for layer in names["plain"].layers]
    assert min(zeros) >= 0.8


def test_gradients_decide_while_training(example):
    names = dict(example)
    exec(BY_GRADIENTS.replace("epochs=10", "epochs=8, verbose=0"), names)
    plain = tfprune.strip_pruning(names["pruned"])
    zeros = [float(np.mean(layer.kernel.numpy() == 0)) for layer in plain.layers]
    assert np.allclose(zeros, 0.9, atol=1e-3)


def test_two_lines_in_a_custom_loop_keep_the_masks_on_schedule(example):
    pruned = tfprune.prune(example["model"], example["schedule"])
    optimizer = keras.optimizers.SGD()
    zeros = [keras.ops.zeros_like(weight) for weight in pruned.trainable_variables]

    def train_step(batch):
        optimizer.apply(zeros, pruned.trainable_variables)

    names = {**example, "pruned": pruned, "optimizer": optimizer, "train_step": train_step}
    optimizer.build(pruned.trainable_variables)
    exec(LOOP, {**names, "batches": range(60)})
    kernel = tfprune.strip_pruning(pruned).layers[0].kernel.numpy()
    assert np.mean(kernel == 0) == pytest.approx(example["schedule"](60), abs=1e-4)


@pytest.fixture(scope="module")
def exported(example: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the export leaves behind, the `folder` it ran in and what it `printed`."""
    folder, printed = tmp_path_factory.mktemp("export"), io.StringIO()
    names = {**example, "folder": folder}
    keras.utils.set_random_seed(0)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        exec(EXPORT, names)
    return {**names, "printed": printed.getvalue()}


def test_the_reference_models_are_built_and_their_data_loaded(capsys):
    names: dict[str, Any] = {}
    exec(MODELS, names)
    listed = capsys.readouterr().out
    assert all(f"'{name}'" in listed for name in ("mobilenet-v1-0.5", "lstm-small", "nmt-256"))
    assert names["small"].output_shape == (None, 10)
    assert len(names["digits"].x_train) == 1437


def test_the_exported_file_runs_on_a_sparse_kernel_and_is_smaller(exported):
    size = {file.stem: file.stat().st_size for file in exported["folder"].iterdir()}
    assert size.keys() == {"sparse", "int8", "dense"}
    assert size["sparse"] < size["dense"] / 4 and size["int8"] < size["dense"]
    kernels = [layer.kernel for layer in exported["told"].coverage.layers]
    assert kernels == ["sparse 1x4", "dense"]
    for said in ("sparse 1x4", "int8.tflite: ", "dense: ", "times as fast as dense"):
        assert said in exported["printed"]


def test_the_exported_model_kept_its_zeros_and_learned(exported):
    kernels = [layer.kernel.numpy() for layer in exported["plain"].layers]
    assert [round(float(np.mean(kernel == 0)), 2) for kernel in kernels] == [0.9, 0.9]
    guesses = exported["plain"].predict(exported["x"], verbose=0).argmax(-1)
    assert np.mean(guesses == exported["y"]) > 0.8


def test_the_migration_line_and_every_name_in_its_table_exist():
    names: dict[str, Any] = {}
    exec(MIGRATION, names)
    there = names["tfmot"].sparsity.keras
    text = section("Coming from tensorflow-model-optimization")
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith("| ")][2:]
    options = "block_size block_pooling_type sparsity_m_by_n pruning_policy end_step".split()
    assert set(names_in([row[0] for row in rows])) == {*there.__all__, *options}
    ours = {name for row in rows for name in re.findall(r"\b([A-Z]\w+|prune)\(", row[1])}
    assert len(ours) > 4 and all(exists(tfprune, name) for name in ours)


def test_every_name_in_the_api_table_exists():
    cells = [cell for cell in first_cells(section("API")) if not cell.startswith("`tfprune ")]
    names = names_in(cells)
    assert len(names) > 20
    assert [name for name in names if not exists(tfprune, name)] == []


def test_every_public_name_is_in_the_api_table():
    words = set(re.findall(r"\w+", section("API")))
    assert [name for name in tfprune.__all__ if name not in words] == []


def test_every_command_exists_and_every_one_is_named(capsys):
    with pytest.raises(SystemExit):
        command_line(["--help"])
    commands = re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE)
    named = re.findall(r"`(?:python -m )?tfprune ([a-z]\w*)", README)
    assert commands and set(named) == set(commands)


@pytest.mark.parametrize("row", [c for c in first_cells(section("API")) if "`tfprune " in c])
def test_every_command_is_shown_with_options_that_it_has(row, capsys):
    command = re.findall(r"tfprune (\w+)", row)[0]
    with pytest.raises(SystemExit):
        command_line([command, "--help"])
    known = capsys.readouterr().out
    assert all(option in known for option in re.findall(r"(?<= )--?[a-z]+", row))


def test_every_file_that_is_named_exists():
    for name in re.findall(r"`(?:\./)?((?:tfprune|scripts|models|tests)/[\w./-]*)`", README):
        assert (ROOT / name).exists() or name.startswith("scripts/results/"), name
    for script in re.findall(r"^\./(\S+)", README, re.MULTILINE):
        assert (ROOT / script).stat().st_mode & 0o100, script


def test_options_of_the_quickstart_that_are_named_exist():
    known = (ROOT / "scripts" / "quickstart" / "command.py").read_text(encoding="utf-8")
    named = set(re.findall(r"`(--[a-z-]+)", section("Start")))
    assert {"--data", "--data-dir", "--out"} <= named
    assert all(f'"{option}"' in known for option in named)


def test_the_tables_are_those_of_the_results_files():
    assert command.main(["--check"]) == 0


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with copies of README.md and the results files."""
    shutil.copy(ROOT / "README.md", tmp_path)
    for file in (ROOT / "scripts" / "results").rglob("*.json"):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    command.main([], root=tmp_path)
    return tmp_path


def edit(file: Path, path: tuple[Any, ...], value: Any) -> None:
    """Set one figure of a results file."""
    results = json.loads(file.read_text())
    *parents, key = path
    reduce(lambda owner, name: owner[name], parents, results)[key] = value
    file.write_text(json.dumps(results))


def test_a_changed_figure_fails_the_check_in_one_line_until_it_is_written(copied, capsys):
    assert command.main(["--check"], root=copied) == 0
    file = copied / "scripts" / "results" / "quickstart-digits" / "results.json"
    edit(file, ("table", 1, "bytes"), 12_345)
    before = (copied / "README.md").read_text()
    assert command.main(["--check"], root=copied) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "python -m scripts.readme" in error
    assert (copied / "README.md").read_text() == before
    assert command.main([], root=copied) == 0
    assert "| 12,345 |" in (copied / "README.md").read_text()
    assert command.main(["--check"], root=copied) == 0


@pytest.mark.parametrize("value, missed", [(1.05, False), (1.051, True)])
def test_a_figure_past_its_target_is_called_missed(copied, value, missed):
    file = copied / "scripts" / "results" / "bench_core.json"
    edit(file, ("lstm_2x650", "tfprune_step_to_unpruned", "ratio_of_medians"), value)
    command.main([], root=copied)
    row = next(r for r in (copied / "README.md").read_text().splitlines() if f"| {value} (" in r)
    assert row.startswith("| training step / unpruned | at most 1.05 |")
    assert ("missed" in row) == missed


@pytest.mark.parametrize("name", ["bench_core.json", "quickstart-digits/results.json"])
def test_a_missing_or_damaged_results_file_is_one_line(copied, name, capsys):
    file = copied / "scripts" / "results" / name
    for damage in (lambda: file.write_text("{}"), lambda: file.write_text("{"), file.unlink):
        damage()
        assert command.main(["--check"], root=copied) == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_a_lost_marker_is_one_line(copied, capsys):
    readme = copied / "README.md"
    readme.write_text(readme.read_text().replace("<!-- table: core -->", ""))
    assert command.main([], root=copied) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "core" in error
