"""Few values in Keras are as few in the int8 file, whatever BatchNorm and scales make of them."""

import numpy as np
import pytest

from tests.support.export.tflite_files import integer_linear
from tfprune.export.encode.micro.shared_levels import with_shared_levels
from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import Subgraph

LEVELS = np.arange(-7, 8) / 7
FACTORS = np.array([1.0, -0.3, 2.5, 0.7])  # of BatchNorm


def kernel_of(seed=0):
    """(inputs, units), every channel with another largest level."""
    kernel = np.random.default_rng(seed).choice(LEVELS, (24, 4))
    kernel[:, 1] = np.clip(kernel[:, 1], -5 / 7, 5 / 7)
    kernel[:, 2] = np.clip(kernel[:, 2], -3 / 7, 3 / 7)
    return kernel


def file_of(folded, bias=(0.5, -0.25, 1.0, 0.0), input_scale=0.01):
    """The int8 file of a layer: each channel's largest value is 127."""
    scales = np.abs(folded).max(0) / 127
    weight = np.round(folded / scales).astype(np.int8).T
    steps = np.round(np.array(bias) / (input_scale * scales)).astype(np.int32)
    model = integer_linear(weight, scales, steps, input_scale)
    return flatbuffer.File(model, flatbuffer.pack(model))


def parts(file):
    """Integers of the weight, its scales, and what the bias is in float."""
    graph = Subgraph(file.model, file.model.subgraphs[0])
    (operator,) = graph.operators
    weight, bias = (int(index) for index in operator.inputs[1:])
    scales = np.array(graph.tensor(weight).quantization.scale)
    values = graph.values(bias) * np.array(graph.tensor(bias).quantization.scale)
    return graph.values(weight), scales, values


def test_every_channel_gets_the_integers_of_the_kernel():
    kernel = kernel_of()
    before = file_of(kernel * FACTORS)
    after = with_shared_levels(before, {"model/dense/kernel": kernel})
    (old, old_scales, _), (new, scales, bias) = parts(before), parts(after)
    assert len(np.unique(old)) > 20 and len(np.unique(new)) == 15
    assert np.array_equal(new, (np.round(kernel * 127) * np.sign(FACTORS)).T)
    wanted = (kernel * FACTORS).T
    assert np.abs(new * scales[:, None] - wanted).max() < 0.5 * scales.max()
    assert np.all(scales >= old_scales * (1 - 1e-6))
    np.testing.assert_allclose(bias, (0.5, -0.25, 1.0, 0.0), atol=0.01 * scales.max())


def test_the_file_given_stays_as_it_is():
    before = file_of(kernel_of() * FACTORS)
    content = flatbuffer.pack(before.model)
    assert with_shared_levels(before, {"model/dense/kernel": kernel_of()}) is not before
    assert flatbuffer.pack(before.model) == content


@pytest.mark.parametrize(
    "kernels",
    [
        {},
        {"model/other/kernel": kernel_of()},
        {"model/dense/kernel": kernel_of(1)},
        {"model/dense/kernel": kernel_of()[:, :2]},
    ],
    ids=["none", "another name", "other values", "another size"],
)
def test_a_weight_that_is_not_the_kernel_stays(kernels):
    before = file_of(kernel_of() * FACTORS)
    assert with_shared_levels(before, kernels) is before


def test_a_kernel_of_many_values_stays():
    kernel = np.random.default_rng(0).normal(size=(24, 4))
    before = file_of(kernel * FACTORS)
    assert with_shared_levels(before, {"model/dense/kernel": kernel}) is before


def test_a_channel_of_small_values_is_not_rounded_coarsely():
    kernel = kernel_of()
    kernel[:, 0] *= 0.05
    before = file_of(kernel * FACTORS)
    assert with_shared_levels(before, {"model/dense/kernel": kernel}) is before
