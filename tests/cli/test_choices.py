"""What the help says that options can be is what the code takes."""

import keras
import numpy as np
import pytest

from tfprune import scorers
from tfprune.calibration.examples import Examples
from tfprune.cli import choices
from tfprune.cli.data.sources import Data
from tfprune.cli.data.task import task_for
from tfprune.export.run.bench import RUNTIMES
from tfprune.scorers.protocol import needs_of
from tfprune.sparsity import distributions, stages
from tfprune.targets.target import DEVICES, LINTED, QUANTIZE, TARGETS


def test_scorers_and_those_that_need_no_data_are_the_registered_ones():
    assert list(choices.SCORERS) == scorers.names()
    free = [name for name in scorers.names() if not needs_of(scorers.get(name))]
    assert list(choices.SCORERS_WITHOUT_DATA) == free


def test_scorers_without_labels_are_those_that_take_no_gradients_of_a_loss():
    free = [name for name in scorers.names() if "gradients" not in needs_of(scorers.get(name))]
    assert sorted(choices.SCORERS_WITHOUT_LABELS) == sorted(free)


@pytest.mark.parametrize("name", choices.LOSSES)
def test_losses_are_functions_of_keras_and_have_a_class(name):
    y = np.array([[0.0, 1.0]], "float32")
    x = np.random.default_rng(0).normal(size=(1, 1)).astype("float32")
    labels = np.array([1]) if name.startswith("sparse") else y
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax")])
    part = Examples(x, labels)
    found = task_for(model, Data("d", part, part), name)
    expected = getattr(keras.losses, name)(labels, model(x))
    given = found.loss(found.data.train.y, model(x))
    assert np.allclose(given, keras.ops.mean(expected), atol=1e-6)


def test_distributions_and_spacings_are_all_that_there_are():
    assert list(choices.DISTRIBUTIONS) == distributions.names()
    assert choices.SPACINGS == stages.SPACINGS


def test_targets_machines_and_quantizations_are_those_of_the_exporter():
    assert choices.TARGETS == tuple(TARGETS)
    assert choices.LINTED == tuple(LINTED)
    assert choices.DEVICES == tuple(DEVICES)
    assert (None, *choices.QUANTIZE) == QUANTIZE


def test_runtimes_are_those_of_the_benchmark():
    assert choices.RUNTIMES == RUNTIMES
