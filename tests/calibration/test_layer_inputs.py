import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.layer_watching import explicit, gram, gram_of_outputs, model_of, only, watch
from tfprune.calibration.input_moments import layer_inputs
from tfprune.layer_classes import inputs
from tfprune.layer_classes.prunable import flatten, prunable_weights
from tfprune.wrapping.pruned_layer import pruned_layers

RNG = np.random.default_rng(0)


LINEAR = {
    "dense": (layers.Dense(4, use_bias=False), (5,), 1),
    "dense of a sequence": (layers.Dense(4, use_bias=False), (3, 5), 1),
    "conv1d valid": (layers.Conv1D(4, 3, use_bias=False), (7, 2), 1),
    "conv1d causal dilated": (
        layers.Conv1D(4, 3, padding="causal", dilation_rate=2, use_bias=False),
        (7, 2),
        1,
    ),
    "conv1d causal strided": (
        layers.Conv1D(4, 3, padding="causal", strides=2, use_bias=False),
        (8, 2),
        1,
    ),
    "conv2d same": (layers.Conv2D(4, 3, padding="same", use_bias=False), (5, 6, 2), 1),
    "conv2d same strided": (
        layers.Conv2D(4, (3, 2), strides=(2, 3), padding="same", use_bias=False),
        (6, 7, 2),
        1,
    ),
    "conv2d stride beyond the kernel": (
        layers.Conv2D(4, 1, strides=2, padding="same", use_bias=False),
        (6, 7, 2),
        1,
    ),
    "conv2d valid dilated": (
        layers.Conv2D(4, 2, dilation_rate=(1, 3), use_bias=False),
        (5, 6, 2),
        1,
    ),
    "conv2d groups": (layers.Conv2D(6, 3, groups=2, padding="same", use_bias=False), (5, 5, 4), 2),
    "conv3d": (layers.Conv3D(3, 2, strides=2, padding="same", use_bias=False), (3, 4, 5, 2), 1),
    "transposed conv1d same": (
        layers.Conv1DTranspose(4, 3, strides=2, padding="same", use_bias=False),
        (5, 2),
        1,
    ),
    "transposed conv2d valid": (
        layers.Conv2DTranspose(4, (3, 2), strides=(2, 3), use_bias=False),
        (4, 3, 2),
        1,
    ),
    "transposed conv2d output padding": (
        layers.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=1, use_bias=False),
        (4, 3, 2),
        1,
    ),
    "transposed conv3d dilated": (
        layers.Conv3DTranspose(2, 2, dilation_rate=2, use_bias=False),
        (3, 2, 3, 2),
        1,
    ),
    "depthwise1d": (
        layers.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2, use_bias=False),
        (6, 3),
        3,
    ),
    "depthwise2d": (
        layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False),
        (5, 4, 3),
        3,
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_moments_are_those_of_the_outputs(name):
    layer, shape, groups = LINEAR[name]
    layer = type(layer).from_config(layer.get_config())
    model = model_of(layer, shape=shape)
    x = RNG.normal(size=(4, *shape)).astype("float32")
    inputs = only(watch(model, x[:3], x[3:]))
    outputs = np.array(model(x))
    assert inputs.samples * groups * inputs.to_matrix(np.array(layer.kernel)).shape[2] == (
        outputs.size
    )
    np.testing.assert_allclose(
        gram(inputs, layer.kernel), gram_of_outputs(outputs, groups), rtol=1e-4, atol=1e-4
    )
    weight = np.array(layer.kernel)
    assert np.array_equal(inputs.from_matrix(inputs.to_matrix(weight)), weight)


EQUATIONS = {
    "ab,bc->ac": ((5,), (4,), 1),
    "abc,cde->abde": ((3, 5), (None, 2, 4), 1),  # query, key and value of attention
    "abcd,cde->abe": ((3, 2, 4), (None, 5), 1),  # its output
    "...b,bc->...c": ((2, 3, 5), (4,), 1),
    "ab...,bc->ac...": ((5, 3), (4,), 1),
    "abc,bcd->abd": ((3, 5), (3, 4), 3),  # one kernel an index b
    "abc,cdb->adb": ((3, 5), (4, 3), 3),
    "abc,cd->ad": ((3, 5), (4,), 1),  # b is summed
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_layouts_reproduce_the_output(equation):
    shape, output, groups = EQUATIONS[equation]
    layer = layers.EinsumDense(equation, output)
    model = model_of(layer, shape=shape)
    x = RNG.normal(size=(4, *shape)).astype("float32")
    inputs = only(watch(model, x))
    assert inputs.moments.shape[0] == groups
    moments = gram(inputs, layer.kernel)
    square = float(np.sum(np.array(model(x), np.float64) ** 2))
    assert np.trace(moments, axis1=1, axis2=2).sum() == pytest.approx(square, rel=1e-5)
    weight = np.array(layer.kernel)
    assert np.array_equal(inputs.from_matrix(inputs.to_matrix(weight)), weight)


def test_dense_moments_are_x_transposed_x():
    x = RNG.normal(size=(6, 5)).astype("float32")
    inputs = only(watch(model_of(layers.Dense(2), shape=(5,)), x[:4], x[4:]))
    wanted = x.astype(np.float64).T @ x.astype(np.float64)
    assert inputs.moments.dtype == np.float64 and inputs.samples == 6
    np.testing.assert_allclose(inputs.moments[0], wanted, rtol=1e-5, atol=1e-5)


def test_patches_in_pieces_are_patches_at_once(monkeypatch):
    model = model_of(layers.Conv2D(4, 3, padding="same"), shape=(6, 5, 2))
    x = RNG.normal(size=(3, 6, 5, 2)).astype("float32")
    at_once = only(watch(model, x))
    # Less than a line of patches.
    monkeypatch.setattr("tfprune.layer_classes.products._PIECE_BYTES", 2000)
    np.testing.assert_allclose(only(watch(model, x)).moments, at_once.moments, rtol=1e-5, atol=1e-5)


def test_channels_first_is_the_transposed_channels_last():
    kernel = RNG.normal(size=(3, 3, 2, 4)).astype("float32")
    x = RNG.normal(size=(2, 5, 6, 2)).astype("float32")
    found = []
    for data_format in ("channels_last", "channels_first"):
        layer = layers.Conv2D(4, 3, strides=2, data_format=data_format)
        shape = (None, 5, 6, 2) if data_format == "channels_last" else (None, 2, 5, 6)
        layer.build(shape)
        layer.kernel.assign(kernel)
        (sight,) = inputs.sights(layer)
        found.append(sight.product.moments(x if shape[1] == 5 else x.transpose(0, 3, 1, 2))[0])
    assert np.array_equal(*found)


def test_separable_convolutions_show_both_kernels_their_inputs():
    layer = layers.SeparableConv2D(5, 3, padding="same", depth_multiplier=2, use_bias=False)
    model = model_of(layer, shape=(5, 4, 3))
    x = RNG.normal(size=(2, 5, 4, 3)).astype("float32")
    found = watch(model, x)
    depthwise, pointwise = (found[w.path] for w in (layer.depthwise_kernel, layer.pointwise_kernel))
    np.testing.assert_allclose(
        gram(pointwise, layer.pointwise_kernel), gram_of_outputs(np.array(model(x)), 1), rtol=1e-4
    )
    middle = keras.ops.depthwise_conv(x, layer.depthwise_kernel, padding="same")
    np.testing.assert_allclose(
        gram(depthwise, layer.depthwise_kernel), gram_of_outputs(np.array(middle), 3), rtol=1e-4
    )


def test_embeddings_count_tokens():
    layer = layers.Embedding(6, 3)
    found = only(watch(model_of(layer, shape=(4,), dtype="int32"), np.array([[1, 1, 5, 0]])))
    assert found.moments.ravel().tolist() == [1.0, 2.0, 0.0, 0.0, 0.0, 1.0]
    assert found.to_matrix(np.array(layer.embeddings)).shape == (6, 1, 3)
    masked = model_of(layers.Embedding(6, 3, mask_zero=True), shape=(4,), dtype="int32")
    assert only(watch(masked, np.array([[1, 1, 5, 0]]))).moments[0, 0, 0] == 0.0


def test_an_embedding_of_many_tokens_takes_little_memory():
    model = model_of(layers.Embedding(50_000, 2), shape=(4,), dtype="int32")
    assert only(watch(model, np.array([[7, 1, 5, 0]]))).moments.nbytes == 8 * 50_000


def test_the_four_projections_of_attention_are_seen():
    layer = layers.MultiHeadAttention(2, 3)
    query, value = keras.Input((4, 6)), keras.Input((5, 6))
    model = keras.Model([query, value], layer(query, value))
    q, v = (RNG.normal(size=(2, n, 6)).astype("float32") for n in (4, 5))
    found = watch(model, [q, v])
    wanted = {"query": q, "key": v, "value": v}
    for name, seen in wanted.items():
        inputs = next(inputs for path, inputs in found.items() if f"/{name}/" in path)
        np.testing.assert_allclose(inputs.moments[0], explicit(seen), rtol=1e-5, atol=1e-5)
    output = layer.output_dense
    outputs = np.array(model([q, v])) - np.array(output.bias)
    np.testing.assert_allclose(
        gram(found[output.kernel.path], output.kernel),
        gram_of_outputs(outputs, 1),
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_shared_layer_adds_up_and_dictionaries_of_inputs_are_passed_on():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    shared = layers.Dense(2)
    model = keras.Model({"a": a, "b": b}, layers.Add()([shared(a), shared(b)]))
    batch = {name: RNG.normal(size=(4, 3)).astype("float32") for name in "ab"}
    inputs = only(watch(model, batch))
    wanted = explicit(batch["a"]) + explicit(batch["b"])
    np.testing.assert_allclose(inputs.moments[0], wanted, rtol=1e-5, atol=1e-5)
    assert inputs.samples == 8


def test_masked_weights_are_what_later_layers_see():
    model = model_of(layers.Dense(4, use_bias=False), layers.Dense(2), shape=(3,))
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    first = pruned_layers(pruned)[0]
    mask = RNG.random((3, 4)) < 0.5
    first.pruned[0].mask.assign(mask)
    x = RNG.normal(size=(5, 3)).astype("float32")
    second = prunable_weights(pruned)[1]
    inputs = layer_inputs(pruned, {"second": second}, [x])["second"]
    hidden = x @ (np.array(first.layer.kernel) * mask)
    np.testing.assert_allclose(inputs.moments[0], explicit(hidden), rtol=1e-4, atol=1e-6)


class Interrupting(layers.Layer):
    def call(self, inputs):
        raise KeyboardInterrupt

    def compute_output_shape(self, input_shape):
        return input_shape


def snapshot(model):
    return [{name: id(value) for name, value in vars(part).items()} for part in flatten(model)]


def test_layers_are_as_before_also_after_an_interrupt():
    lstm, dense = layers.LSTM(3), layers.Dense(2)
    inputs = keras.Input((4, 2))
    outputs = dense(lstm(inputs))
    model, broken = keras.Model(inputs, outputs), keras.Model(inputs, Interrupting()(outputs))
    x = RNG.normal(size=(2, 4, 2)).astype("float32")
    before = [snapshot(lstm), snapshot(dense), np.array(model(x))]
    watch(model, x)
    with pytest.raises(KeyboardInterrupt):
        watch(broken, x)
    for old, layer in zip(before, (lstm, dense)):
        new = snapshot(layer)
        for part, earlier in zip(new, old):
            names = {"call", "inner_loop", "unroll", "use_cudnn"}
            assert {n: part.get(n) for n in names} == {n: earlier.get(n) for n in names}
    assert np.array_equal(np.array(model(x)), before[2])


def test_no_variable_of_the_model_changes():
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(2, 4, 2)),
            layers.GaussianNoise(0.5),
            layers.LSTM(3, stateful=True, dropout=0.5),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(2),
        ]
    )
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    x = RNG.normal(size=(2, 4, 2)).astype("float32")
    pruned(x)  # states that are not zero
    before = [np.array(variable) for variable in pruned.variables]
    losses = list(pruned.losses)
    watch(pruned, x, x)
    for variable, value in zip(pruned.variables, before):
        assert np.array_equal(np.array(variable), value), variable.path
    assert len(pruned.losses) == len(losses)
