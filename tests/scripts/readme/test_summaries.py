"""The two tables that sum up several results files: gains, and scorers side by side."""

import copy

import pytest

from scripts.lab.folders import RESULTS
from scripts.readme.contents import reader
from scripts.readme.gains_table import gains
from scripts.readme.scorer_table import scorers

LANGUAGE = "lstm_paper"


def language_model(method, sparsity, perplexity, nonzeros):
    return {
        "method": method,
        "sparsity": sparsity,
        "perplexity": {"mean": perplexity, "sd": 1.0},
        "nonzeros": {"mean": nonzeros, "sd": 0.0},
    }


def language_rows(*rows):
    """The rows of the table of gains on language models, from these results of them."""
    run = {"rows": [language_model(*row) for row in rows]}
    read = reader(RESULTS)
    _, found, _ = gains(lambda name: run if name == LANGUAGE else read(name))
    return [row for row in found if "language model" in row[0]]


def test_the_gain_of_a_pruned_model_is_over_the_largest_dense_one_that_it_beats():
    dense = [("small", 0.0, 200.0, 400), ("medium", 0.0, 150.0, 1000), ("large", 0.0, 90.0, 4000)]
    pruned = [("large", 0.9, 100.0, 400), ("large", 0.95, 140.0, 200)]
    (row,) = language_rows(*dense, *pruned)
    assert row[1:3] == [
        "perplexity 150.0 ± 1.0, 1,000 weights",
        "perplexity 140.0 ± 1.0, 200 weights",
    ]
    assert row[3] == "better than a dense model with 5.0 times its weights"


@pytest.mark.parametrize("perplexity, nonzeros", [(149.0, 200), (100.0, 1001)])
def test_no_gain_is_claimed_within_the_deviations_or_with_more_weights(perplexity, nonzeros):
    assert not language_rows(("dense", 0.0, 150.0, 1000), ("large", 0.9, perplexity, nonzeros))


def test_scorers_have_the_figures_of_their_studies_and_none_that_was_not_measured():
    names = ("one_shot_table", "gradual_comparison", "oracle_correlation")
    at_once, training, correlation = (copy.deepcopy(reader(RESULTS)(name)) for name in names)
    at_once["rows"] = [
        {"method": name, "sparsity": sparsity, "accuracy_after": {"mean": mean, "sd": None}}
        for name, sparsity, mean in (("dense", 0.0, 0.9), ("woodfisher", 0.7, 0.8))
    ]
    at_once["records"] = [
        {"method": "woodfisher", "sparsity": 0.5, "cpu_seconds": 900.0},
        *({"method": "woodfisher", "sparsity": 0.7, "cpu_seconds": s} for s in (10.0, 30.0, 12.0)),
    ]
    _, rows, about = scorers(at_once, training, correlation)
    cells = {row[0]: row[1:] for row in rows}
    assert cells["`woodfisher`"][:3] == ["80.00", "", "12"]
    assert cells["`magnitude`"][:3] == ["", "", ""] and cells["`magnitude`"][3] != ""
    assert "dense 90.00 %" in about
