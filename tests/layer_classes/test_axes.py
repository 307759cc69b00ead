"""The table of axes: its claims are tried out on a layer of every class that stands in it."""

import inspect

import numpy as np
import pytest
from keras import layers

from tests.support.axes_cases import CASES
from tfprune.layer_classes import axes as table
from tfprune.layer_classes.axes import own_weights
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.layer_classes.weight_axes import Operand, WeightAxes

RNG = np.random.default_rng(0)

# Classes that add weights but stand in no table, and why.
EXCEPTIONS = {
    layers.AdditiveAttention: "its vector weighs sums of queries and keys, and is small",
    layers.Attention: "its weights are scalars",
    layers.JaxLayer: "what its arrays are is known to the user's function alone",
    layers.Normalization: "its moments are those of the model's inputs, which stay",
    layers.RNN: "its weights are those of its cell",
    layers.STFTSpectrogram: "its kernels are fixed",
    layers.SpectralNormalization: "its vector is the state of an iteration",
    layers.TFSMLayer: "its variables are those of another program",
}


def built(name):
    layer, arguments = CASES[name]()
    return layer, own_weights(layer), arguments


def outputs(own, arguments):
    found = own.holder(*arguments)
    return np.array(found[0] if isinstance(found, (list, tuple)) else found)


def change(own, slices):
    """Put other numbers there, and return those that were there."""
    before = np.array(own.weight)
    after = before.copy()
    after[slices] += 1.0 + RNG.random(after[slices].shape)
    own.weight.assign(after)
    return before


def places(shape, axes, parts=1):
    """One index in the first part of each of these axes, and everything along the others."""
    chosen = {axis: int(RNG.integers(shape[axis] // parts)) for axis in axes}
    return chosen, tuple(chosen.get(axis, slice(None)) for axis in range(len(shape)))


def adds_weights(kind):
    own = [part for part in kind.__mro__ if issubclass(part, layers.Layer)]
    return any(
        "add_weight(" in inspect.getsource(part)
        for part in own
        if part is not layers.Layer and part.__module__.startswith("keras.")
    )


def test_every_keras_layer_that_adds_weights_stands_in_the_table_or_has_a_reason():
    kinds = [kind for kind in vars(layers).values() if inspect.isclass(kind)]
    adding = [kind for kind in kinds if issubclass(kind, layers.Layer) and adds_weights(kind)]
    assert len(adding) > 30
    known = {*EXCEPTIONS, *(kind for kind in kinds if table.kernel_attributes(kind) is not None)}
    assert [kind for kind in adding if not known.intersection(kind.__mro__)] == []
    assert [kind for kind in EXCEPTIONS if kind not in adding] == []


def test_every_class_in_the_table_is_tried_out_here():
    tried = {type(CASES[name]()[0]) for name in CASES}
    kinds = [kind for kind in vars(layers).values() if inspect.isclass(kind)]
    assert [kind for kind in kinds if table.kernel_attributes(kind) is not None] and tried == {
        kind for kind in kinds if table.kernel_attributes(kind) is not None
    }


@pytest.mark.parametrize("name", CASES)
def test_every_weight_has_axes_and_the_prunable_ones_are_multiplied_with_something(name):
    layer, owned, _ = built(name)
    weights = [own.weight for own in owned]
    variables = [w for w in layer.weights if "seed" not in w.path]
    assert {weight.path for weight in weights} == {variable.path for variable in variables}
    kernels = [own.weight for own in owned if own.axes.operand]
    assert [weight.path for weight in prunable_weights(layer)] == [w.path for w in kernels]


@pytest.mark.parametrize("name", CASES)
def test_every_axis_has_one_role(name):
    for own in built(name)[1]:
        axes, shape = own.axes, own.weight.shape
        roles = (*axes.inputs, *axes.outputs, *axes.depthwise, *axes.spatial)
        single = [axis for axis, size in enumerate(shape) if size == 1]
        rows = [0] if name == "GRUCell" and own.weight.name == "bias" else []  # two biases
        assert set(range(len(shape))) - set(roles) <= {*single, *rows}
        assert len(roles) == len(set(roles)) and set(roles) <= set(range(len(shape)))
        if axes.gates > 1:
            assert shape[axes.outputs[0]] % axes.gates == 0


@pytest.mark.parametrize("name", CASES)
def test_an_output_unit_is_written_by_its_entries_alone(name):
    _, owned, arguments = built(name)
    for own in owned:
        shape = tuple(own.weight.shape)
        for axis in dict.fromkeys(axis for _, axis in own.axes.writes):
            before = outputs(own, arguments)
            rank = before.ndim
            axes = own.axes.writing(axis, rank=rank)
            # A reset gate before the product reaches all units: take the update gate, the first.
            parts = own.axes.gates if name == "GRUCell reset before" else 1
            chosen, slices = places(shape, axes, parts)
            merged = [shape[place] for place in axes]
            unit = np.ravel_multi_index([chosen[place] for place in axes], merged)
            unit %= int(np.prod(merged)) // own.axes.gates
            value = change(own, slices)
            after = outputs(own, arguments)
            own.weight.assign(value)
            others = tuple(place for place in range(rank) if place != axis % rank)
            changed = np.flatnonzero((after != before).any(axis=others))
            assert changed.tolist() == [unit], own.weight.path


@pytest.mark.parametrize("name", CASES)
def test_an_input_unit_that_is_zero_makes_its_entries_immaterial(name):
    _, owned, arguments = built(name)
    for own in owned:
        if own.axes.operand not in (Operand.INPUTS, Operand.STATE, Operand.GATED_STATE):
            continue
        for place, axis in own.axes.reads:
            chosen, slices = places(own.weight.shape, [place])
            of_state = own.axes.operand is not Operand.INPUTS
            operand = np.array(arguments[1][0] if of_state else arguments[0])
            some = outputs(own, arguments)
            units = [slice(None)] * operand.ndim
            units[axis] = slice(chosen[place], None, own.weight.shape[place])  # in every group
            operand[tuple(units)] = 0.0
            zeroed = (operand, *arguments[1:])
            if of_state:
                zeroed = (arguments[0], [operand, *arguments[1][1:]])
            before = outputs(own, zeroed)
            value = change(own, slices)
            assert np.array_equal(outputs(own, zeroed), before), own.weight.path
            assert not np.array_equal(outputs(own, arguments), some)
            own.weight.assign(value)


@pytest.mark.parametrize("name", ["SeparableConv1D", "SeparableConv2D"])
def test_a_pointwise_kernel_reads_what_the_depthwise_one_makes(name):
    _, (depthwise, pointwise, _), arguments = built(name)
    assert pointwise.axes.operand is Operand.FILTERED and pointwise.axes.is_pointwise
    kernel = np.array(depthwise.weight)
    multiplier = kernel.shape[-1]
    kernel[..., 1, multiplier - 1] = 0.0
    depthwise.weight.assign(kernel)
    before = outputs(pointwise, arguments)
    change(pointwise, (..., 2 * multiplier - 1, slice(None)))  # channel 1, its last filter
    assert np.array_equal(outputs(pointwise, arguments), before)


def test_channels_first_moves_the_channels_of_kernels_and_biases():
    layer = layers.Conv2D(4, 3, data_format="channels_first")
    layer.build((None, 6, 8, 8))
    kernel, bias = (own.axes for own in own_weights(layer))
    assert kernel.reads == ((2, 1),) and kernel.writes == ((3, 1),) and bias.writes == ((0, 1),)
    assert kernel.writing(-3, rank=4) == (3,) and kernel.writing(-1, rank=4) == ()


@pytest.mark.newest_keras
def test_batch_renormalization_has_axes_for_all_its_moments():
    layer = layers.BatchNormalization(renorm=True)
    layer.build((None, 6))
    found = own_weights(layer)
    assert len(found) == len(layer.weights) == 7
    assert {own.axes.depthwise for own in found} == {(0,)}


def test_a_weight_that_keras_lays_out_in_another_order_than_its_shape_has_no_roles():
    layer = layers.LayerNormalization(axis=[-1, 1])
    layer.build((None, 7, 6))
    assert [own.axes for own in own_weights(layer)] == [WeightAxes()] * 2


def test_kinds_of_kernels_are_told_apart():
    kinds = ("is_matrix", "is_convolution", "is_depthwise", "is_pointwise", "is_lookup")

    def kinds_of(name, index=0):
        own = built(name)[1][index]
        return {kind for kind in kinds if getattr(own.axes, kind)}

    assert kinds_of("Dense") == kinds_of("LSTMCell", 1) == {"is_matrix"}
    assert kinds_of("Conv2D") == kinds_of("ConvLSTM2D") == {"is_convolution"}
    assert kinds_of("SeparableConv2D") == {"is_depthwise"}
    assert kinds_of("SeparableConv2D", 1) == {"is_convolution", "is_pointwise"}
    assert kinds_of("Embedding") == {"is_lookup"}
    assert kinds_of("Conv2DTranspose") == kinds_of("BatchNormalization") == set()


def test_a_layer_in_another_form_has_no_axes_for_it():
    layer = layers.Dense(8)
    layer.build((None, 8))
    layer.quantize("int8")
    assert [own.weight.name for own in own_weights(layer)] == ["bias"]


def test_contradictory_axes_are_refused():
    with pytest.raises(ValueError, match="one role"):
        WeightAxes(inputs=(0,), outputs=(0,))
    with pytest.raises(ValueError, match="count from 0"):
        WeightAxes(outputs=(-1,))
    with pytest.raises(ValueError, match="one output axis"):
        WeightAxes(outputs=(0, 1), gates=2)
    with pytest.raises(ValueError, match="go together"):
        WeightAxes(inputs=(0,), operand=Operand.INPUTS)
