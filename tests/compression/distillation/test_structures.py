"""Which output belongs to which: names, nests, outputs without a loss, sizes left open."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune.compression.distillation.structures import for_each_output, order_of

X = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
Y = np.arange(16) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
VALUES = np.zeros((16, 3), "float32")


def heads(names, nest=list):
    """A model with an output of width three for every name, each from its own seed."""
    inputs = keras.Input((5,))
    outputs = {}
    for name in names:
        drawn = keras.initializers.GlorotNormal(ord(name))
        outputs[name] = layers.Dense(3, kernel_initializer=drawn, name=name)(inputs)
    return keras.Model(inputs, outputs if nest is dict else nest(outputs.values()))


def loss_of(student, teacher, loss, y, weights=None, **options):
    distilled = tfprune.distill(student, teacher, alpha=1.0, **options)
    distilled.compile("sgd", loss)
    predictions = distilled(X, training=True)
    return float(distilled.compute_loss(X, y, predictions, weights, training=True))


@pytest.mark.parametrize(
    ("given", "nest", "names", "wanted"),
    [
        (1, ["x", "y"], None, [1, 1]),
        ([1, 2], {"b": "y", "a": "x"}, None, [1, 2]),
        ({"b": 2, "a": 1}, {"b": "y", "a": "x"}, None, [1, 2]),
        ({"b": 2, "a": 1}, ["y", "x"], ["b", "a"], [2, 1]),
        ({"p": [1, 2], "q": 3}, {"p": ["x", "y"], "q": "z"}, None, [1, 2, 3]),
        ({"q": 3}, {"p": ["x", "y"], "q": "z"}, None, [None, None, 3]),
        ([1, [2, 3]], ["x", ["y", "z"]], None, [1, 2, 3]),
        ([1], ["x", "y"], None, [1, None]),
        ({"a": 1}, "x", ["a"], [1]),
        ([1], "x", None, [1]),
    ],
)
def test_what_is_given_finds_its_output(given, nest, names, wanted):
    assert for_each_output(given, nest, names) == wanted


def test_outputs_are_paired_by_name_where_both_models_have_the_same():
    assert order_of([0, 1], [0, 1], ["z", "a"], ["a", "z"]) == [1, 0]
    assert order_of([0, 1], [0, 1], ["z", "a"], ["a", "b"]) == [0, 1]
    assert order_of([0, 1], {"a": 0, "z": 1}, ["z", "a"], ["a", "z"]) == [1, 0]
    nests = {"p": [0, 1], "q": 2}, {"q": 2, "p": [0, 1]}
    assert order_of(*nests, None, None) == [0, 1, 2]


@pytest.mark.parametrize("nest", [list, dict])
def test_a_teacher_with_its_outputs_in_another_order_teaches_each_by_its_name(nest):
    student, teacher = heads("za"), heads("az", nest)
    assert loss_of(student, teacher, LOSS, [Y, Y]) == pytest.approx(0.0, abs=1e-6)


def test_dictionaries_of_other_names_are_refused():
    message = r"outputs of the student. Received: outputs \['a', 'c'\] and \['a', 'b'\]"
    with pytest.raises(ValueError, match=message):
        tfprune.distill(heads("ab", dict), heads("ac", dict))


def test_an_output_without_a_loss_is_left_out_unless_it_is_said_what_it_is():
    student, teacher = heads("ab"), heads("cd")
    first = loss_of(student, teacher, [LOSS, None], [Y, Y])
    both = loss_of(student, teacher, [LOSS, LOSS], [Y, Y])
    assert first == pytest.approx(loss_of(student, teacher, {"a": LOSS, "b": None}, [Y, Y]))
    named = loss_of(student, teacher, [LOSS, None], [Y, Y], compare=[None, "classes"])
    assert named == pytest.approx(both) and first < both
    ignoring = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    assert loss_of(student, teacher, [ignoring, None], [Y]) == pytest.approx(first)


def test_targets_by_name_are_those_of_their_outputs_where_a_class_is_ignored():
    student, teacher = heads("za"), heads("cd")
    ignoring = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    losses, targets = [ignoring, LOSS], {"a": np.ones(16, int), "z": Y}
    wanted = loss_of(student, teacher, losses, [Y, np.ones(16, int)])
    assert loss_of(student, teacher, losses, targets) == pytest.approx(wanted, rel=1e-6)


def test_losses_in_a_nest_are_those_of_its_outputs():
    def nested(names):
        flat = heads(names)
        return keras.Model(flat.inputs[0], {"p": flat.outputs[:2], "q": flat.outputs[2]})

    student, teacher = nested("abc"), nested("def")
    losses, y = {"p": [LOSS, "mse"], "q": "mse"}, {"p": [Y, VALUES], "q": VALUES}
    flat = [keras.Model(model.inputs[0], model.outputs) for model in (student, teacher)]
    wanted = loss_of(*flat, [LOSS, "mse", "mse"], [Y, VALUES, VALUES])
    assert loss_of(student, teacher, losses, y) == pytest.approx(wanted, rel=1e-6)


def test_several_losses_of_one_output_need_a_word():
    student, teacher = (keras.Sequential([keras.Input((5,)), layers.Dense(3)]) for _ in range(2))
    with pytest.raises(ValueError, match="`compare` of `distill` say what they are"):
        loss_of(student, teacher, ["mse", "mae"], VALUES)
    found = loss_of(student, teacher, ["mse", "mae"], VALUES, compare="values")
    assert found == pytest.approx(loss_of(student, teacher, "mse", VALUES))


def test_hints_weigh_examples_by_the_mean_of_the_weights_of_all_outputs():
    def model():
        inputs = keras.Input((5,))
        hidden = layers.Dense(4, name="h")(inputs)
        return keras.Model(inputs, [layers.Dense(3, name=name)(hidden) for name in "ab"])

    student, teacher = model(), model()
    one, two = np.random.default_rng(1).uniform(0, 2, (2, 16)).astype("float32")

    def part(weights):
        given = student, teacher, [LOSS, LOSS], [Y, Y], weights
        return loss_of(*given, hints=[("h", "h")]) - loss_of(*given)

    made = [np.asarray(each.get_layer("h")(X)) for each in (student, teacher)]
    each = np.square(made[0] - made[1]).mean(axis=-1)
    for weights in ([one, two], [two, one]):
        assert part(weights) == pytest.approx(((one + two) / 2 * each).mean(), rel=1e-3)
    assert part([None, two]) == pytest.approx(((1 + two) / 2 * each).mean(), rel=1e-3)


def test_sizes_that_one_model_leaves_open_go_with_any():
    def model(size):
        layer = layers.Conv2D(4, 3, name="c")
        inside = [layer, layers.GlobalAveragePooling2D(), layers.Dense(3)]
        return keras.Sequential([keras.Input((size, size, 3)), *inside])

    pairs = [("c", "c")]
    for sizes in ((16, None), (None, 16)):
        assert tfprune.distill(*map(model, sizes), hints=pairs, attention=pairs)
    with pytest.raises(ValueError, match="must have the inputs of the student"):
        tfprune.distill(model(16), model(8))


def test_the_width_of_a_hint_must_be_known():
    def model(width):
        parts = layers.Identity(name="i"), layers.Lambda(lambda z: z[:, :1], output_shape=(1,))
        return keras.Sequential([keras.Input((width,)), *parts])

    with pytest.raises(ValueError, match="whose widths are known, or neither is. Received:"):
        tfprune.distill(model(None), model(5), hints=[("i", "i")])
    assert tfprune.distill(model(None), model(None), hints=[("i", "i")]).regressors == [None]
