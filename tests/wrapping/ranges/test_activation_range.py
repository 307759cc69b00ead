"""ActivationRange: the integers of int8 arithmetic, in a range that follows the batches."""

import keras
import numpy as np
import pytest

from tfprune.wrapping.ranges.activation_range import SIGNED, UNIT, ActivationRange, rounded_to


def numpy(value):
    return keras.ops.convert_to_numpy(value)


def test_values_are_rounded_to_the_steps_of_the_range_and_zero_stays_zero():
    layer = ActivationRange()
    x = np.array([[-1.0, 0.0, 0.0149, 1.55, 0.0151]], "float32")
    y = numpy(layer(x, training=True))
    assert np.allclose(y, [[-1.0, 0.0, 0.01, 1.55, 0.02]], atol=1e-6)
    assert y[0, 1] == 0.0
    clipped = numpy(layer(np.array([[-2.0, 2.0]], "float32")))
    assert np.allclose(clipped, [[-1.0, 1.55]], atol=1e-6)


def test_the_first_batch_sets_the_range_and_others_move_it():
    layer = ActivationRange(momentum=0.75)
    layer(np.zeros((1, 2), "float32"))
    assert not layer.was_observed
    layer(np.array([[-2.0, 4.0]], "float32"), training=True)
    assert (float(layer.low), float(layer.high), layer.was_observed) == (-2.0, 4.0, True)
    layer(np.array([[-4.0, 8.0]], "float32"), training=True)
    assert (float(layer.low), float(layer.high)) == (-2.5, 5.0)
    layer(np.array([[-9.0, 9.0]], "float32"))
    assert (float(layer.low), float(layer.high)) == (-2.5, 5.0)


def test_the_range_always_contains_zero():
    layer = ActivationRange()
    layer(np.array([[3.0, 5.0]], "float32"), training=True)
    assert (float(layer.low), float(layer.high)) == (0.0, 5.0)


def test_fixed_ranges_are_those_of_the_runtime():
    steps = np.array([0.0, 1 / 256, 255 / 256, 1.0], "float32")
    assert np.allclose(numpy(rounded_to(steps, UNIT)), [0.0, 1 / 256, 255 / 256, 255 / 256])
    assert np.allclose(numpy(rounded_to(-steps, SIGNED)), [0.0, 0.0, -127 / 128, -1.0])
    layer = ActivationRange(interval=UNIT)
    layer(steps, training=True)
    assert layer.was_observed and layer.weights == []


def test_a_range_is_read_back_from_its_config():
    layer = ActivationRange(bits=4, momentum=0.5, interval=SIGNED, name="here")
    assert ActivationRange.from_config(layer.get_config()).get_config() == layer.get_config()


def test_bits_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`bits` must be in .2, 16.. Received: bits=17"):
        ActivationRange(bits=17)
