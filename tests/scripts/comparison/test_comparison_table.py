"""scripts/comparison/comparison_table.py: which pruned models are said to win."""

import pytest

from scripts.comparison.comparison_table import wins
from scripts.comparison.families import FAMILIES

NO_WIN = "No pruned model beats a dense one with as many nonzeros by more than two standard"
NO_DEVIATION = "One seed has no deviation: no model is said to beat another"
SINGLE = " (one seed of it)"


def row(method, sparsity, nonzeros, mean, sd):
    return {
        "method": method,
        "sparsity": sparsity,
        "nonzeros": {"mean": nonzeros},
        "accuracy": {"mean": mean, "sd": sd},
    }


@pytest.mark.parametrize(
    ("mean", "sd", "nonzeros", "won"),
    [
        (0.90, 0.01, 100, True),
        (0.83, 0.02, 100, False),  # within two deviations
        (0.90, 0.01, 300, False),  # more nonzeros than the dense one
        (0.90, None, 100, True),  # one seed, with the deviation of the other model
        (0.82, None, 100, False),
    ],
)
def test_a_win_needs_no_more_nonzeros_and_two_deviations(mean, sd, nonzeros, won):
    rows = [row("dense-a", 0.0, 200, 0.8, 0.01), row("pruned-b", 0.9, nonzeros, mean, sd)]
    (found,) = wins(FAMILIES["cnn"], rows)
    single = SINGLE if sd is None else ""
    assert found.startswith(f"pruned-b at 0.9{single} beats dense-a, " if won else NO_WIN)


def test_one_seed_of_a_model_that_is_beaten_is_said_too():
    rows = [
        row("dense-a", 0.0, 200, 0.8, None),
        row("dense-b", 0.0, 200, 0.8, 0.01),
        row("pruned-c", 0.9, 100, 0.9, 0.01),
    ]
    (found,) = wins(FAMILIES["cnn"], rows)
    assert found.startswith(f"pruned-c at 0.9 beats dense-a{SINGLE} and dense-b, with no more")


@pytest.mark.parametrize(("dense", "pruned"), [(None, None), (0.0, None), (None, 0.0)])
def test_without_a_deviation_above_zero_one_seed_is_not_compared(dense, pruned):
    rows = [row("dense-a", 0.0, 200, 0.1, dense), row("pruned-b", 0.9, 100, 0.9, pruned)]
    assert wins(FAMILIES["cnn"], rows) == [NO_DEVIATION]


def test_a_row_that_is_not_compared_leaves_the_measured_sentence_as_it_is():
    rows = [row("dense-a", 0.0, 200, 0.8, 0.01), row("pruned-b", 0.9, 100, 0.8, 0.01)]
    (measured,) = wins(FAMILIES["cnn"], rows)
    assert measured.startswith(NO_WIN) and measured.endswith(" of the difference")
    assert wins(FAMILIES["cnn"], [*rows, row("dense-small", 0.0, 50, 0.1, None)]) == [measured]


def test_where_some_pairs_have_no_deviation_the_sentence_is_about_the_others():
    rows = [
        row("dense-a", 0.0, 200, 0.8, 0.01),
        row("dense-b", 0.0, 200, 0.8, None),
        row("pruned-c", 0.9, 100, 0.8, None),
    ]
    (found,) = wins(FAMILIES["cnn"], rows)
    assert found.startswith(NO_WIN) and found.endswith(", where there are deviations to tell")


def test_of_perplexities_the_lower_one_wins():
    rows = [row("dense-a", 0.0, 200, 120.0, 1.0), row("pruned-b", 0.9, 100, 100.0, 1.0)]
    rows = [{**found, "perplexity": found["accuracy"]} for found in rows]
    assert "beats" in wins(FAMILIES["lstm"], rows)[0]
