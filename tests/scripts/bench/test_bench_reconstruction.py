"""The sides of the benchmark of layer-wise reconstruction, on a small layer."""

import numpy as np

from scripts.bench.scorers.reconstruction import kept_of, lost, measured, problem, sparse_gpt
from tfprune.scorers.reconstruction.removal import remove_elements


def test_both_sides_remove_what_is_asked_and_lose_less_than_magnitude():
    w, h = problem(40, 6)
    greedy = kept_of(*remove_elements(w, h[None], np.zeros(6, int)), 0.5)
    other, by_size = sparse_gpt(w, h, 0.5), np.abs(w) > np.median(np.abs(w))
    for kept in (greedy, other):
        assert abs(kept.sum() - 120) <= 1
        assert lost(w, h, kept) < lost(w, h, by_size)


def test_a_run_has_times_and_errors():
    found = measured(24, 3, 1)
    assert set(found["milliseconds_an_output"]) == {"greedy", "sparsegpt"}
    assert 0 < found["lost"]["0.5"]["greedy"] < found["lost"]["0.9"]["greedy"] < 1
