"""scripts/studies/recipe_variants.py: what is trained beside the recipe of a family."""

import json
import types

import pytest

import models
import tfprune
from scripts.comparison import command as comparison
from scripts.comparison import training
from scripts.lab.results_file import Job
from scripts.studies import recipe_variants


@pytest.mark.parametrize("name", comparison.MODULES)
def test_every_variant_changes_something_about_the_same_model_and_sparsity(name):
    module = comparison.MODULES[name]
    found = recipe_variants.jobs(module, seeds=2)
    assert len({(job.method, job.seed) for job, *_ in found}) == 2 * (1 + len(module.VARIANTS))
    (_, preset, base), *others = found[: 1 + len(module.VARIANTS)]
    assert preset == "cpu"
    for _, variant, own in others:
        assert own.key == base.key, variant  # model, sparsity, seed
        assert own.options != base.options, variant


@pytest.mark.parametrize("name", comparison.MODULES)
def test_layers_that_are_left_out_exist_and_others_are_pruned(name):
    module = comparison.MODULES[name]
    model = {
        "cnn": lambda: models.build("mobilenet-v1-0.1", input_shape=(28, 28, 1), classes=10),
        "lstm": lambda: models.build("lstm-4", vocabulary=20),
        "nmt": lambda: models.build("nmt-4", source_vocabulary=20, target_vocabulary=20),
    }[name]()
    for preset in module.VARIANTS.values():
        pruned, _ = training.pruned(model, preset, 0.9, steps=100)
        wrapped = {layer.name for layer in pruned.layers if isinstance(layer, tfprune.PrunedLayer)}
        everything = {
            layer.name for layer in model.layers if tfprune.prunable.prunable_weights(layer)
        }
        assert wrapped and bool(preset.left_out) == (len(wrapped) < len(everything))


class Tiny(types.SimpleNamespace):
    """A family of one model, with one variant."""

    VARIANTS = {"cpu-early": None}

    def jobs(self, preset, seed):
        return [Job("dense-1", 0.0, seed), Job("pruned-1", 0.5, seed, {"preset": preset})]

    def train(self, job, preset, seed, checkpoints, data_dir, changed):
        self.trained.append(preset)
        return {"bleu": 10.0 + seed + (preset == "cpu"), "nonzeros": 5}


def test_a_run_goes_on_after_a_stop(tmp_path, monkeypatch, capsys):
    tiny = Tiny(trained=[])
    monkeypatch.setitem(comparison.MODULES, "nmt", tiny)
    arguments = ["nmt", "--out", f"{tmp_path / 'out.json'}", "--checkpoints", f"{tmp_path}"]
    assert recipe_variants.main(arguments) == 0
    assert recipe_variants.main([*arguments, "--seeds", "3"]) == 0
    assert tiny.trained == 3 * ["cpu", "cpu-early"]
    content = json.loads((tmp_path / "out.json").read_text())
    rows = {row["method"]: row["bleu"]["mean"] for row in content["rows"]}
    assert rows == {"cpu": 12.0, "cpu-early": 11.0}
    assert content["command"] == "python -m scripts.studies.recipe_variants nmt --seeds 3"
    assert recipe_variants.main([*arguments, "--variants", "cpu-early"]) == 0  # all done
    assert len(tiny.trained) == 6
    assert recipe_variants.main([*arguments, "--variants", "cpu-never"]) == 2
    assert "must be among cpu-early. Received: cpu-never" in capsys.readouterr().err
    assert recipe_variants.main(["nmt", "--out", f"{tmp_path}"]) == 2
    assert "out" in capsys.readouterr().err
