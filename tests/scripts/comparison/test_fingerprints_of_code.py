"""Which code a checkpoint of the comparison is of."""

from pathlib import Path

import pytest

from scripts.comparison.images import classifiers
from scripts.comparison.language import language_models
from scripts.comparison.translation import translation_models
from scripts.lab.folders import ROOT

MODULES = {
    "cnn": (classifiers, "cpu"),
    "lstm": (language_models, "cpu"),
    "nmt": (translation_models, "multi30k"),
}


def code(family, place=-1):
    module, preset = MODULES[family]
    return module.PROTOCOL.code(module.jobs(preset, 0)[place])


def change(monkeypatch, file, old, new):
    """Have a file say something else to who reads it."""
    real = Path.read_text
    assert old in (ROOT / file).read_text(encoding="utf-8")

    def read_text(self, *args, **options):
        text = real(self, *args, **options)
        return text.replace(old, new) if str(self).endswith(file) else text

    monkeypatch.setattr(Path, "read_text", read_text)


@pytest.mark.parametrize(
    ("families", "file", "old", "new"),
    [
        (MODULES, "scripts/comparison/training.py", "max(1, (end - begin)", "max(2, (end - begin)"),
        (MODULES, "scripts/comparison/presets.py", "alpha: float = 0.0", "alpha: float = 0.5"),
        (MODULES, "scripts/comparison/protocol.py", "compile=False", "compile=True"),
        (["cnn"], "scripts/comparison/images/cnn_presets.py", "momentum=0.9, n", "momentum=0.8, n"),
        (["cnn"], "scripts/comparison/images/cnn_data.py", "flip=True", "flip=False"),
        (["cnn"], "models/data/imagenet.py", "seed", "seeds"),
        (["cnn", "lstm"], "scripts/lab/many_steps.py", "begin, end, one", "begin, end + 1, one"),
        (["lstm"], "scripts/comparison/language/lstm_presets.py", "float = 1.5", "float = 1.6"),
        (["lstm"], "scripts/comparison/language/bfloat16.py", '"bfloat16"', '"float16"'),
        (["nmt"], "scripts/comparison/translation/nmt_presets.py", "0.5**k", "0.7**k"),
        (["nmt"], "scripts/comparison/best_epoch.py", "loss < float", "loss <= float"),
    ],
)
def test_another_recipe_is_other_code_in_the_families_that_it_decides(
    families, file, old, new, monkeypatch
):
    before = {family: code(family) for family in MODULES}
    change(monkeypatch, file, old, new)
    changed = {family for family in MODULES if code(family) != before[family]}
    assert changed == {*families}


def test_pruning_counts_for_pruned_models_and_the_teacher_s_share_for_taught_ones(monkeypatch):
    places = {"dense": 0, "pruned": -2, "taught": -1}
    before = {kind: code("nmt", place) for kind, place in places.items()}
    change(monkeypatch, "tfprune/compression/distillation/distances.py", "def ", "def new_")
    assert [k for k, place in places.items() if code("nmt", place) != before[k]] == ["taught"]
    change(monkeypatch, "tfprune/wrapping/pruned_layer.py", "def ", "def new_")
    changed = [kind for kind, place in places.items() if code("nmt", place) != before[kind]]
    assert changed == ["pruned", "taught"]
