"""A budget of latency: the search with a clock of our own, and one run with the real one."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from tfprune import channels
from tfprune.channels.choosing import stopwatch
from tfprune.channels.coupling.reading import read
from tfprune.channels.kept import Costs


def network():
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(32, 3, activation="relu", name="first")(inputs)
    x = layers.Conv2D(48, 3, activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(32, 3, activation="relu", name="third")(x))
    return keras.Model(inputs, layers.Dense(10, name="head")(x), name="network")


def milliseconds(model):
    """A tenth, and one for each million multiply-adds."""
    reading = read(model)
    costs = Costs(reading, reading.book.ledger.settle())
    return 0.1 + costs.of(np.zeros(0, int)).multiply_adds / 1e6


class FakeStopwatch:
    """Takes the place of the one that exports and times."""

    noise, tried = 0.0, 0

    def __init__(self, model):
        FakeStopwatch.tried = 0
        self.before = milliseconds(model)
        self.draws = np.random.default_rng(0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __call__(self, small):
        FakeStopwatch.tried += 1
        after = milliseconds(small) * (1 + self.noise * self.draws.uniform(-1, 1))
        ratio = self.before / after
        return channels.Latency(self.before, after, ratio, 0.9 * ratio, 1.1 * ratio, "by hand")


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(stopwatch, "Stopwatch", FakeStopwatch)
    return FakeStopwatch


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("options", [{}, {"round_to": 2}, {"scope": "layer"}], ids=str)
def test_the_plan_takes_as_long_as_asked_within_three_percent(fake, share, options):
    model = network()
    asked = share * milliseconds(model)
    plan = channels.plan(model, latency_ms=asked, **options)
    assert milliseconds(channels.prune(model, plan)) == pytest.approx(asked, rel=0.03)
    assert fake.tried <= 6
    assert (plan.latency.before_ms, plan.latency.after_ms) == pytest.approx(
        (milliseconds(model), asked), rel=0.03
    )


def test_a_noisy_clock_is_followed_to_a_plan_that_was_measured_within_the_budget(fake, monkeypatch):
    monkeypatch.setattr(fake, "noise", 0.1)
    model = network()
    asked = 0.5 * milliseconds(model)
    plan = channels.plan(model, latency_ms=asked)
    assert plan.latency.after_ms == pytest.approx(asked, rel=0.03)
    assert milliseconds(channels.prune(model, plan)) == pytest.approx(asked, rel=0.15)


def test_the_plan_says_what_was_measured(fake, tmp_path):
    model = network()
    plan = channels.plan(model, latency_ms=0.5 * milliseconds(model))
    text = f"atency {plan.latency.before_ms:.3g} -> {plan.latency.after_ms:.3g} ms"
    assert text in str(plan) and "by hand" in str(plan)
    plan.to_html(tmp_path / "plan.html")
    assert text.replace(">", "&gt;") in (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert channels.plan(model, 0.5).latency is None


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        (0.05, {}, r"latency_ms=0.05 for 'network': its file takes 3.64 ms .* and 0.1\d+ ms where"),
        (9.0, {}, "below what the model takes. Received: latency_ms=9"),
        (3.6, {}, "below what the model takes"),  # within 3 % of the whole model: nothing to do
        (1.0, {"rules": [(".*", None)]}, "3.64 ms where all goes"),
        (3.0, {"round_to": 32}, r"near the budget, \d.\d+ ms"),
    ],
    ids=str,
)
def test_a_budget_out_of_reach_is_an_error_that_says_how_far_it_can_go(
    fake, asked, options, message
):
    with pytest.raises(ValueError, match=message):
        channels.plan(network(), latency_ms=asked, **options)


def test_a_budget_of_latency_stands_alone():
    with pytest.raises(ValueError, match="Exactly one of .*`latency_ms` must be given"):
        channels.plan(network(), 0.5, latency_ms=1.0)
    with pytest.raises(ValueError, match="latency_ms=0"):
        channels.plan(network(), latency_ms=0)


def test_exported_files_are_timed_in_turns_with_the_original():
    with pytest.raises(ValueError, match="latency_ms=1e-06 for 'network'") as error:
        channels.plan(network(), latency_ms=1e-6)
    whole, least = re.findall(r"([\d.e-]+) ms", str(error.value))
    assert float(whole) > 0 and float(least) > 0
