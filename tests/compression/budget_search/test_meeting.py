"""Ways are corrected by what their files turned out to take."""

import types
import warnings

import numpy as np

from tfprune.compression.budget_search import meeting
from tfprune.compression.budget_search.budgets import Limits
from tfprune.compression.budget_search.options import Option
from tfprune.compression.budget_search.stored_sizes import FileKind
from tfprune.compression.budget_search.ways import Way


def test_a_budget_is_met_where_the_form_in_a_file_changes_with_sparsity(monkeypatch):
    def bytes_of(chosen):
        sparsity = chosen["kernel"].sparsity
        return 1000 * (1 - sparsity) if sparsity <= 0.5 else 60 + 1500 * (1 - sparsity)

    def build(base, chosen, how):
        warnings.warn(f"{chosen['kernel'].sparsity}", stacklevel=1)
        return chosen

    monkeypatch.setattr(meeting, "build", build)
    monkeypatch.setattr(meeting, "plain_of", lambda chosen: chosen)
    monkeypatch.setattr(meeting, "as_in_file", lambda chosen, kind: chosen)
    monkeypatch.setattr(meeting, "_chosen_around", lambda *given: None)
    scales = types.SimpleNamespace(weigh=lambda chosen, kind: {"bytes": bytes_of(chosen)})
    wish = types.SimpleNamespace(how=None, meter=lambda chosen: lambda: chosen["kernel"].loss)
    start = types.SimpleNamespace(model=None, loss=0.0, in_words="", trials=())
    options = [
        Option(sparsity, loss=sparsity, costs={"bytes": 1000 * (1 - sparsity)})
        for sparsity in np.arange(0, 1, 0.005).round(3).tolist()
    ]
    way = Way(start, FileKind("size", None), 0.0, {"kernel": options}, {"kernel": options[80]})
    for most in (480, 400, 300, 200):
        best, _ = meeting.best_of([way], Limits({"bytes": most}), scales, wish)
        assert 0.97 * most <= best.costs["bytes"] <= most
        assert best.warned == (str(best.model["kernel"].sparsity),)  # of no other that was built
