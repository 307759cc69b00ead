import keras
import numpy as np
import pytest

import tfprune
from tests.support.fake_evidence import FakeEvidence
from tfprune.scorers import Reconstruction, WoodFisher
from tfprune.support import long_work


@pytest.fixture
def slow_machine(monkeypatch):
    monkeypatch.setattr(long_work, "operations_per_second", lambda: 1e4)


@pytest.mark.parametrize("scorer", [Reconstruction(), WoodFisher(block_size=10)])
def test_what_takes_long_is_said_once_before_it_begins(scorer, mlp, data, slow_machine, capfd):
    tfprune.one_shot(mlp, 0.5, scorer, data, "mse", stages=2, verbose=True)
    said = capfd.readouterr().err
    assert said.count(f"{type(scorer).__name__} of 2 weights will take about") == 1
    tfprune.one_shot(mlp, 0.5, scorer, data, "mse", examples=4, verbose=False)
    assert "will take" not in capfd.readouterr().err


def test_what_takes_seconds_is_not_said(mlp, data, capfd):
    tfprune.one_shot(mlp, 0.5, "reconstruction", data, "mse", verbose=True)
    assert "will take" not in capfd.readouterr().err


def test_a_scorer_that_cannot_tell_is_no_fault(mlp, data, slow_machine, capfd):
    tfprune.one_shot(mlp, 0.5, "fisher", data, "mse", verbose=True)
    assert "will take" not in capfd.readouterr().err


def test_more_stages_inputs_and_examples_take_longer():
    def work(examples, size, block):
        gradients = np.zeros((examples, size))
        scorer = WoodFisher(block_size=block)
        return scorer.operations({"w": np.ones(size)}, FakeEvidence({"w": gradients}))

    assert work(100, 4000, 1000) > 1.8 * work(50, 4000, 1000)
    assert work(10, 800, 100) == pytest.approx(2 * work(10, 400, 100))


def test_the_work_of_reconstruction_grows_with_the_cube_of_the_inputs():
    model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(1, name="a")])
    seen = []
    operations = Reconstruction.operations

    class Spied(Reconstruction):
        def operations(self, weights, evidence):
            seen.append(operations(self, weights, evidence))
            return seen[-1]

    x = np.random.default_rng(0).normal(size=(50, 40)).astype("float32")
    tfprune.one_shot(model, 0.5, Spied(), x)
    assert seen[0] > 2 * 40**3
