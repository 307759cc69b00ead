"""How long a file takes, roughly: the rates behind the choice between rewrites."""

import json

import pytest

from scripts.bench.coverage import rates
from tfprune.export.predict import durations


def test_rates_are_those_that_were_fitted():
    assert durations.RATES == json.loads(rates.OUT.read_text())["rates"]


def test_a_fit_finds_what_files_were_made_of():
    made = {"dense": 0.05, "value": 0.3}
    counts = [{"dense": 10_000 * n, "value": 1000 * n * n} for n in range(1, 9)]
    files = [
        {"counts": each, "nanoseconds": 2000 + sum(made[kind] * each[kind] for kind in made)}
        for each in counts
    ]
    assert rates.fitted([{"files": files}]) == pytest.approx(made, rel=0.01)


def test_the_way_that_is_expected_to_be_fastest_is_seldom_a_slow_one():
    records = json.loads(rates.OUT.read_text())["records"]
    gains, best = [], []
    for files in (record["files"] for record in records if len(record["files"]) > 1):
        expected = [sum(durations.RATES[k] * n for k, n in f["counts"].items()) for f in files]
        took = [file["nanoseconds"] for file in files]
        chosen = min(range(1, len(files)), key=expected.__getitem__)
        if expected[chosen] < expected[0]:
            gains.append(took[0] / took[chosen])
            best.append(took[0] / min(took))
    assert len(gains) > 30 and min(gains) > 0.95
    assert sum(gains) > 0.95 * sum(best)
