"""Every kind of layer as a product: the same outputs at full rank, the cost that was foretold."""

import keras
import numpy as np
import pytest
from keras import layers

from tfprune.channels.coupling.reading import read
from tfprune.channels.kept import Costs
from tfprune.compression.low_rank.factorizable import forms_of
from tfprune.keras_graph.replacing import replace_layers

IMAGE, WORDS, SEQUENCE = (9, 8, 3), (5,), (5, 7)


def _conv(**settings):
    settings = {"kernel_size": 3, "activation": "relu", **settings}
    return IMAGE, lambda: layers.Conv2D(5, **settings)


CASES = {
    "dense": ((6,), lambda: layers.Dense(9, "relu")),
    "dense of sequences": (SEQUENCE, lambda: layers.Dense(9, "tanh", use_bias=False)),
    "einsum": (
        (4, 6),
        lambda: layers.EinsumDense("abc,cde->abde", (None, 3, 5), bias_axes="de"),
    ),
    "einsum of heads": ((4, 3, 6), lambda: layers.EinsumDense("abcd,cde->abe", (None, 7))),
    "einsum, dots before": (SEQUENCE, lambda: layers.EinsumDense("...x,xy->...y", 9)),
    "einsum, dots behind": ((4, 6), lambda: layers.EinsumDense("ab...,bc->ac...", (9,))),
    "einsum of an axis between": ((4, 6), lambda: layers.EinsumDense("abc,bd->acd", (6, 5))),
    "embedding": (WORDS, lambda: layers.Embedding(30, 6, mask_zero=True)),
    "lstm": (SEQUENCE, lambda: layers.LSTM(6, return_sequences=True)),
    "gru": (SEQUENCE, lambda: layers.GRU(6, go_backwards=True)),
    "rnn": (SEQUENCE, lambda: layers.SimpleRNN(6)),
    "conv": _conv(padding="same"),
    "conv, strides": _conv(strides=(2, 1), padding="same", use_bias=False),
    "conv, valid": _conv(strides=(1, 2), kernel_size=(5, 3)),
    "conv, dilation": _conv(dilation_rate=(1, 2), padding="same"),
    "causal": (SEQUENCE, lambda: layers.Conv1D(6, 3, padding="causal", dilation_rate=2)),
    "volume": ((5, 4, 6, 2), lambda: layers.Conv3D(6, 3, strides=2, padding="same")),
}
METHODS = [
    (case, method)
    for case, (shape, _) in CASES.items()
    for method in (("spatial", "channel", "tucker") if shape == IMAGE else ("tucker",))
]


def _cost(model):
    reading = read(model)
    return Costs(reading, reading.book.ledger.settle()).of(np.zeros(0, int))


def _replaced(model, form, ranks):
    factors, _ = form.split(None).factors(ranks)
    chain = form.chain(ranks, factors, lambda name: name)
    return replace_layers(model, {model.layers[0]: chain})


@pytest.mark.parametrize(("case", "method"), METHODS)
def test_full_rank_computes_the_same_and_smaller_ranks_cost_what_was_foretold(case, method):
    shape, make = CASES[case]
    model = keras.Sequential([keras.Input(shape), make()])
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape))
    x = random.normal(size=(3, *shape)).astype("float32")
    x = random.integers(0, 30, (3, *shape)) if shape == WORDS else x
    (form,) = forms_of(model, method).values()
    got, wanted = (np.asarray(m(x)) for m in (_replaced(model, form, form.full), model))
    assert np.linalg.norm(got - wanted) <= 1e-6 * np.linalg.norm(wanted)
    ranks = tuple(max(1, full // 2) for full in form.full)
    small = _replaced(model, form, ranks)
    before, after, foretold = _cost(model), _cost(small), form.cost(ranks)
    assert after.parameters - before.parameters == foretold.parameters - form.original.parameters
    assert after.multiply_adds - before.multiply_adds == foretold.macs - form.original.macs
    assert small.layers[form.owner].name == model.layers[0].name


def test_channels_first_settings_and_regularizers_go_into_the_factors():
    conv = layers.Conv2D(
        6, 3, data_format="channels_first", kernel_regularizer="l2", name="a", strides=(2, 1)
    )
    conv.build((None, 3, 9, 9))
    inputs = keras.Input((3, 9, 9))
    model = keras.Model(inputs, conv(inputs))
    (form,) = forms_of(model, "spatial").values()
    first, last = form.layers((2,), lambda name: name)
    assert (first.name, last.name, last.filters) == ("a_in", "a", 6)
    for part in (first, last):
        assert part.data_format == "channels_first"
        assert isinstance(part.kernel_regularizer, keras.regularizers.L2)
    assert (first.kernel_size, first.strides) == ((3, 1), (2, 1))
    assert (last.kernel_size, last.strides) == ((1, 3), (1, 1))


class _Own(layers.Dense):
    """A class of the user's, which may compute anything."""


LEFT = {
    "its kernel has one position": (IMAGE, lambda: layers.Conv2D(8, 1)),
    "its channels are in groups": (IMAGE, lambda: layers.Conv2D(6, 3, groups=3)),
    "each of its channels has a kernel": (IMAGE, lambda: layers.DepthwiseConv2D(3)),
    "no spatial SVD without two axes": (SEQUENCE, lambda: layers.Conv1D(6, 3)),
    "no factors are known for layers of class SeparableConv2D": (
        IMAGE,
        lambda: layers.SeparableConv2D(6, 3),
    ),
    "no factors are known for layers of class _Own": ((6,), lambda: _Own(9)),
    "its kernel has a constraint": ((6,), lambda: layers.Dense(9, kernel_constraint="non_neg")),
    "is no product by one matrix": (
        SEQUENCE,
        lambda: layers.EinsumDense("abc,bcd->abd", (5, 3)),
    ),
    "sums over an axis of its inputs alone": (
        SEQUENCE,
        lambda: layers.EinsumDense("abc,cd->ad", (3,)),
    ),
}


@pytest.mark.parametrize("reason", LEFT)
def test_what_cannot_be_factorized_says_why(reason):
    shape, make = LEFT[reason]
    model = keras.Sequential([keras.Input(shape), make()])
    (found,) = forms_of(model, "spatial").values()
    assert isinstance(found, str) and reason in found


def test_lora_and_int8_kernels_stay():
    for change in ("enable_lora", "quantize"):
        dense = layers.Dense(9)
        model = keras.Sequential([keras.Input((6,)), dense])
        dense.enable_lora(2) if change == "enable_lora" else dense.quantize("int8")
        assert all(isinstance(found, str) for found in forms_of(model, "spatial").values())
