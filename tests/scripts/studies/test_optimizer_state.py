"""scripts/studies/optimizer_state.py: what it switches off, and a run on small images."""

import json

import pytest

from scripts.studies import gradual_comparison, optimizer_state
from tfprune.pruning import updater

SMALL = {"width": 2, "dense_epochs": 1, "epochs": 2, "batch_size": 16, "learning_rate": 0.02}
RECIPES = {
    "adam": gradual_comparison.Recipe(**SMALL),
    "momentum": optimizer_state.MomentumRecipe(**SMALL),
}
CHOSEN = ["adam", "momentum_kept"]


def test_state_is_reset_again_after_an_error():
    resets = updater.reset_where_masked
    with pytest.raises(KeyError), optimizer_state.state_kept():
        assert updater.reset_where_masked is not resets
        raise KeyError
    assert updater.reset_where_masked is resets


def test_a_small_run_prunes_with_and_without_the_state_of_optimizers(tmp_path, digits, monkeypatch):
    calls = []
    resets = updater.reset_where_masked
    monkeypatch.setattr(
        updater,
        "reset_where_masked",
        lambda optimizer, *rest: calls.append(type(optimizer).__name__) or resets(optimizer, *rest),
    )
    out = tmp_path / "results.json"
    arguments = ["--out", f"{out}", "--checkpoints", f"{tmp_path}", "--seeds", "0"]
    arguments += ["--methods", *CHOSEN]
    assert optimizer_state.main(arguments, RECIPES, lambda name, where: digits) == 0
    written = json.loads(out.read_text())
    assert written["command"].startswith("python -m scripts.studies.optimizer_state --methods adam")
    pruned = [r for r in written["records"] if r["method"] in optimizer_state.METHODS]
    assert [r["method"] for r in pruned] == CHOSEN
    assert all(r["zeros"] == pytest.approx(0.95, abs=0.02) for r in pruned)
    assert set(calls) == {"Adam"} and len(calls) > 2  # every update of one, none of the other
