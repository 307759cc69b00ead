"""Coupling: which batch normalization follows which kernel, and what is coupled."""

import keras
import pytest
from keras import layers

import tfprune
from models.images.residual import small_resnet
from tfprune.keras_graph.coupling import batch_norm_of, coupled_among, coupled_kernels
from tfprune.support.by_identity import each_once


def named(model):
    """Names of layers in place of the objects that `batch_norm_of` returns."""
    found = batch_norm_of(model)
    return {kernel.path.split("/")[-2]: norm.name for kernel, norm in found.items()}


def coupled(model):
    groups = coupled_kernels(model)
    return sorted(sorted(kernel.path.split("/")[-2] for kernel in group) for group in groups)


def conv(name, channels=4, **options):
    return layers.Conv2D(channels, 3, padding="same", name=name, **options)


def norm(name, **options):
    return layers.BatchNormalization(name=name, **options)


def image():
    return keras.Input((8, 8, 3))


def chain(*parts):
    inputs = x = image()
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x)


def test_each_kernel_has_the_norm_right_behind_it():
    model = chain(conv("a"), norm("a_bn"), layers.ReLU(), conv("b"), norm("b_bn"), conv("c"))
    assert named(model) == {"a": "a_bn", "b": "b_bn"}


@pytest.mark.parametrize(
    "between",
    [
        layers.ZeroPadding2D(),
        layers.Identity(),
        layers.Dropout(0.5),
        layers.ReLU(),
        layers.MaxPooling2D(),
        keras.ops.relu,
        lambda x: 2.0 * x,
    ],
)
def test_norm_is_found_behind_layers_that_keep_channels_apart(between):
    assert named(chain(conv("a"), between, norm("a_bn"))) == {"a": "a_bn"}


@pytest.mark.parametrize(
    "between", [layers.Permute((2, 3, 1)), layers.LayerNormalization(), layers.Softmax()]
)
def test_norm_is_no_gate_behind_layers_that_mix_channels(between):
    assert named(chain(conv("a", 8), between, norm("a_bn"))) == {}


def test_norm_is_no_gate_where_the_filter_has_another_way_out():
    inputs = image()
    a = conv("a")(inputs)
    skip = keras.Model(inputs, layers.Add()([norm("a_bn")(a), a]))
    inputs = image()
    a = conv("a")(inputs)
    output = keras.Model(inputs, [norm("a_bn")(a), a])
    assert named(skip) == named(output) == {}


def test_norm_over_other_axes_or_without_scale_is_no_gate():
    assert named(chain(conv("a"), norm("a_bn", axis=1))) == {}
    assert named(chain(conv("a"), norm("a_bn", scale=False))) == {}
    assert named(chain(conv("a"), norm("a_bn", center=False))) == {"a": "a_bn"}


def test_norm_that_two_layers_share_is_no_gate():
    inputs, shared = image(), norm("shared")
    outputs = [shared(conv("a")(inputs)), shared(conv("b")(inputs))]
    assert named(keras.Model(inputs, outputs)) == {}


def test_layer_called_twice_needs_the_same_norm_behind_both_calls():
    shared, one, other, inputs = conv("a"), norm("one"), norm("other"), [image(), image()]
    same = keras.Model(inputs, [one(shared(x)) for x in inputs])
    assert named(same) == {"a": "one"}
    shared = conv("a")
    differing = keras.Model(inputs, [one(shared(inputs[0])), other(shared(inputs[1]))])
    assert named(differing) == {}


def test_channels_first_kernels_have_norms_over_axis_one():
    options = {"data_format": "channels_first"}
    model = chain(conv("a", **options), layers.ZeroPadding2D(**options), norm("bn", axis=1))
    assert named(model) == {"a": "bn"}
    assert named(chain(conv("a", **options), norm("bn"))) == {}


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dense(5, name="a"),
        layers.EinsumDense("bhwc,cd->bhwd", (8, 8, 5), name="a"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, name="a"),
        layers.SeparableConv2D(5, 3, name="a"),
    ],
)
def test_every_layer_with_output_channels_last_in_its_kernel_is_found(layer):
    model = chain(layer, norm("bn"))
    (kernel,) = batch_norm_of(model)
    assert any(kernel is variable for variable in layer.weights)
    gates = model.get_layer("bn").gamma.shape[0]
    assert gates in (kernel.shape[-1], kernel.shape[-1] * kernel.shape[-2])


def test_transposed_convolutions_have_no_gates():
    assert named(chain(layers.Conv2DTranspose(4, 3, name="a"), norm("bn"))) == {}


def test_skip_connections_couple_the_layers_of_a_stage():
    name = "stage{}_block{}_{}".format
    model = small_resnet()
    assert coupled(model) == [
        ["stage1_block1_2", "stage1_block2_2", "stem"],
        [name(2, 1, 2), name(2, 1, "shortcut"), name(2, 2, 2)],
    ]
    assert len(named(model)) == 10


@pytest.mark.parametrize("merge", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
def test_every_merge_layer_couples(merge):
    inputs = image()
    merged = getattr(layers, merge)()([conv("a")(inputs), conv("b")(inputs)])
    assert coupled(keras.Model(inputs, merged)) == [["a", "b"]]


def test_operators_couple_as_layers_do():
    inputs = image()
    a, b, c = (conv(name)(inputs) for name in "abc")
    assert coupled(keras.Model(inputs, a * b - keras.ops.relu(c) / 2.0)) == [["a", "b", "c"]]


def test_concatenation_flatten_and_unknown_layers_end_a_channel():
    class Unknown(layers.Layer):
        def call(self, inputs):
            return inputs

    inputs = image()
    a, b, c, d = (conv(name)(inputs) for name in "abcd")
    joined = layers.Concatenate()([a, b])
    flat = layers.Flatten()(a) + layers.Flatten()(b)
    unknown = Unknown()(c) + d
    wide = joined + conv("e", 8)(inputs)
    assert coupled(keras.Model(inputs, [joined, flat, unknown, wide])) == []


def test_one_channel_against_many_couples_nothing():
    inputs = image()
    attention = conv("one", 1, activation="sigmoid")(inputs)
    assert coupled(keras.Model(inputs, conv("many")(inputs) * attention)) == []


def test_squeeze_and_excite_is_coupled_with_what_it_scales():
    inputs = image()
    x = conv("a")(inputs)
    squeezed = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(x))
    excited = layers.Dense(4, activation="sigmoid", name="excite")(squeezed)
    assert coupled(keras.Model(inputs, layers.Multiply()([x, excited]))) == [["a", "excite"]]


def test_depthwise_convolutions_share_the_channels_of_their_input():
    parts = [conv("a"), norm("bn"), layers.DepthwiseConv2D(3, name="depthwise")]
    assert coupled(chain(*parts, conv("b"))) == [["a", "depthwise"]]
    multiplied = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")
    assert coupled(chain(conv("a"), multiplied)) == []


def test_nested_models_are_seen_through_at_every_call():
    inner = keras.Sequential([keras.Input((8, 8, 4)), conv("inner"), norm("inner_bn")])
    inputs = image()
    x = conv("a")(inputs)
    a = norm("a_bn")(x)
    model = keras.Model(inputs, inner(a) + inner(inner(a)) + a)
    assert named(model) == {"a": "a_bn", "inner": "inner_bn"}
    assert coupled(model) == [["a", "inner"]]


def test_kernels_of_one_path_in_nested_models_are_told_apart():
    inner, inputs = conv("a"), keras.Input((8, 8, 4))  # paths in functional models lack its name
    back = keras.Model(inputs, norm("inner_bn")(inner(inputs)))
    inputs, other = image(), conv("b")
    outer, merged = conv("a"), layers.Add()
    x = norm("outer_bn")(merged([outer(inputs), other(inputs)]))
    first = keras.Model(inputs, back(x))
    assert outer.kernel.path == inner.kernel.path
    assert batch_norm_of(first).get(outer.kernel) is None  # the sum has the gate
    assert batch_norm_of(first)[inner.kernel].name == "inner_bn"
    (group,) = coupled_kernels(first)
    assert [kernel is layer.kernel for kernel, layer in zip(group, (outer, other))] == [True, True]
    alone = keras.Model(inputs, back(norm("alone_bn")(outer(inputs))))
    found = batch_norm_of(alone)
    assert (found[outer.kernel].name, found[inner.kernel].name) == ("alone_bn", "inner_bn")
    names = {"outer": outer.kernel, "inner": inner.kernel, "b": other.kernel}
    assert coupled_among(first, names) == [frozenset({"outer", "b"})]


def test_pruned_models_are_read_like_plain_ones():
    model = small_resnet(width=2)
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    assert named(pruned) == named(model) and coupled(pruned) == coupled(model)
    own = each_once(variable for layer in pruned.layers for variable in layer.weights)
    assert all(kernel in own for kernel in batch_norm_of(pruned))
    assert all(kernel in own for group in coupled_kernels(pruned) for kernel in group)


def test_subclassed_models_have_neither():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.bn = conv("a"), norm("bn")

        def call(self, inputs):
            return self.bn(self.a(inputs))

    model = Subclassed()
    model(keras.ops.zeros((1, 8, 8, 3)))
    assert not batch_norm_of(model) and not coupled_kernels(model)
    inputs = image()
    nested = keras.Model(inputs, norm("outer_bn")(conv("outer")(model(inputs))))
    assert named(nested) == {"outer": "outer_bn"}
