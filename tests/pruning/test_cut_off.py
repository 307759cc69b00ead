"""The warnings of prune where a unit is bound to lose all inputs, or outputs are taken away."""

import re
import warnings

import numpy as np
import pytest
from keras import Input, Sequential, layers

import tfprune
from tfprune.pruning.starved_units import cut_off_units


def model():
    """Two kernels of 6 blocks of 16 a unit."""
    return Sequential([Input((96,)), layers.Dense(96, name="wide"), layers.Dense(10, name="out")])


def warned(sparsity, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tfprune.prune(model(), tfprune.OneShot(sparsity), **options)
    return [str(warning.message) for warning in caught]


def test_blocks_that_are_too_few_for_the_outputs_are_told_at_once():
    (message,) = warned(0.9, structure=tfprune.Block(16, 1))
    assert "4 of 10 of '" in message and "/out/kernel' (at 90.0% in Block(height=16" in message
    assert "38 of 96 of '" in message and "/wide/kernel'" in message  # 58 blocks for them


@pytest.mark.parametrize(
    "options",
    [
        {"structure": tfprune.Block(4, 1)},
        {"structure": tfprune.Block(16, 1), "rules": [(".*/kernel", None), ("out/.*", 0.8)][::-1]},
        {"structure": tfprune.Block(16, 1), "distribution": "global"},  # not known in advance
        {},
    ],
)
def test_nothing_is_said_where_every_unit_may_keep_an_input(options):
    assert warned(0.9, **options) == []


@pytest.mark.parametrize(
    "layer, lost",
    [
        (layers.EinsumDense("abc,cd->abd", (None, 10)), "4 of 10 of '.*/kernel'"),
        (layers.SeparableConv1D(10, 1), "4 of 10 of '.*/pointwise_kernel'"),
        (layers.Conv1DTranspose(10, 1), None),  # blocks lie over inputs and outputs the other way
        (layers.SimpleRNN(10), "4 of 10 of '.*/kernel'"),
        (layers.LSTM(10), None),  # four of its columns are one unit's
    ],
)
def test_every_kernel_with_one_unit_a_column_is_counted(layer, lost):
    stack = Sequential([Input((3, 96)), layer])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rules = [(".*/depthwise_kernel", None)]
        options = {"rules": rules} if isinstance(layer, layers.SeparableConv1D) else {}
        tfprune.prune(stack, tfprune.OneShot(0.9), structure=tfprune.Block(16, 1), **options)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == (lost is not None)
    assert all(re.search(lost, message) for message in messages)


def test_the_warning_is_true():
    with pytest.warns(UserWarning, match="4 of 10"):
        pruned = tfprune.prune(model(), tfprune.OneShot(0.9), structure=tfprune.Block(16, 1))
    pruned.compile("sgd", "mse")
    pruned.fit(
        np.ones((2, 96)), np.ones((2, 10)), verbose=0, callbacks=[tfprune.UpdatePruningStep()]
    )
    kernel = np.asarray(tfprune.strip_pruning(pruned).get_layer("out").kernel)
    assert np.sum(~kernel.any(axis=0)) >= 4


@pytest.mark.parametrize("structure", [tfprune.Channel(-1), tfprune.NofM(2, 4)])
def test_structures_that_remove_units_on_purpose_or_nowhere_are_not_counted(structure):
    assert cut_off_units((8, 8), structure, 0.5) == 0


def classifier(*end, name="out", **options):
    start = [Input((6,)), layers.Dense(8, name="hidden")]
    return Sequential([*start, layers.Dense(4, name=name, **options), *end])


def told_of_outputs(model, structure=tfprune.Channel(), **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tfprune.prune(model, 0.5, structure=structure, **options)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    "model",
    [
        classifier(),
        classifier(activation="softmax"),
        classifier(layers.Softmax()),
        classifier(layers.Activation("sigmoid")),
        classifier(layers.Activation("log_softmax")),
        Sequential([Input((6,)), classifier()]),
        Sequential([Input((6,)), classifier(layers.Softmax())]),
    ],
)
def test_masks_that_take_outputs_of_the_model_away_are_told_with_the_rule_that_leaves_them(model):
    (message,) = told_of_outputs(model)
    assert "that the model returns, by masks of " in message and "/out/kernel: what" in message
    rules = re.search(r"rules=(\[.*\]) leaves", message).group(1)
    assert rules == '[("out/.*", None)]' and told_of_outputs(model, rules=eval(rules)) == []


def test_other_masks_than_those_of_outputs_take_none_away():
    assert told_of_outputs(classifier(), tfprune.Channel(0)) == []
    assert told_of_outputs(classifier(), tfprune.Block(2, 1)) == []
    assert told_of_outputs(classifier(layers.Dense(2, name="last")), rules=[("last/.*", 0)]) == []
