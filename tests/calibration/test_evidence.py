"""Gradients of the loss: against one tape a batch, a Hessian by hand, and what must not change."""

import errno
import os
import re
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfprune
from tfprune.calibration.evidence import evidence_of
from tfprune.wrapping.cohorts import plain_path


def one_by_one(model, data, loss):
    """Reference: one eager tape for each example, in inference mode."""
    found = []
    layers = tfprune.wrapping.pruned_layer.pruned_layers(model)
    owned = {plain_path(layer, o.weight.path): o for layer in layers for o in layer.pruned}
    for index in range(len(keras.tree.flatten(data[0])[0])):
        x, y = (
            keras.tree.map_structure(lambda leaf: tf.constant(leaf[index : index + 1]), part)
            for part in data[:2]
        )
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=False))
        gradients = tape.gradient(value, [own.weight.value for own in owned.values()])
        found.append([np.array(tf.convert_to_tensor(gradient)) for gradient in gradients])
    return {name: np.stack([row[i] for row in found]) for i, name in enumerate(owned)}


def dense():
    return [keras.Input((6,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(3)]


def convolutional():
    return [
        keras.Input((6,)),
        keras.layers.Reshape((3, 2, 1)),
        keras.layers.Conv2D(4, 2, padding="same"),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.DepthwiseConv2D(2, padding="same"),
        keras.layers.Dropout(0.5),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3),
    ]


def recurrent():
    return [
        keras.Input((6,)),
        keras.layers.Reshape((3, 2)),
        keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True, dropout=0.3)),
        keras.layers.GRU(4),
        keras.layers.Dense(3),
    ]


def embedded():
    return [
        keras.Input((6,), dtype="int32"),
        keras.layers.Embedding(9, 4, mask_zero=True),
        keras.layers.LSTM(3),
        keras.layers.Dense(3),
    ]


def attentive():
    inputs = keras.Input((6,))
    x = keras.layers.Reshape((3, 2))(inputs)
    x = keras.layers.MultiHeadAttention(2, 3)(x, x)
    x = keras.layers.Flatten()(keras.layers.LayerNormalization()(x))
    return inputs, keras.layers.Dense(3)(x)


@pytest.mark.parametrize("layers", [dense, convolutional, recurrent, embedded, attentive])
def test_per_example_gradients_are_those_of_single_examples(layers, data):
    made = layers()
    model = keras.Model(*made) if isinstance(made, tuple) else keras.Sequential(made)
    x, y = data[0][:11], data[1][:11]
    if model.inputs[0].dtype == "int32":
        x = np.random.default_rng(0).integers(0, 9, x.shape)
    pruned, _ = tfprune.one_shot(model, 0.4, "magnitude", (x, y), "mse", refresh_batch_norm=False)
    evidence = evidence_of(pruned, (x, y), "mse")
    wanted = one_by_one(pruned, (x, y), keras.losses.MeanSquaredError())
    before = [np.array(v) for v in pruned.variables]
    got = evidence.per_example()
    assert got.keys() == wanted.keys()
    for name, value in got.items():
        assert np.allclose(value, wanted[name], atol=2e-6), name
        assert not value[:, ~evidence.masks[name]].any()
    for size in (4, 32):
        batches = list(evidence.batches(size))
        counts = [min(size, 11 - start) for start in range(0, 11, size)]
        for name in got:
            joined = np.concatenate([batch[name] for batch in batches])
            assert len(joined) == len(counts)
            means = [wanted[name][i * size :][:size].mean(axis=0) for i in range(len(counts))]
            assert np.allclose(joined, means, atol=2e-6), (name, size)
            assert np.allclose(evidence.mean()[name], wanted[name].mean(axis=0), atol=2e-6)
    assert all(np.array_equal(a, np.array(v)) for a, v in zip(before, pruned.variables))


def two_headed():
    first, second = keras.Input((6,), name="first"), keras.Input((3,), name="second")
    x = keras.layers.Dense(5, "relu", name="trunk")(keras.layers.Concatenate()([first, second]))
    outputs = {"a": keras.layers.Dense(2, name="a")(x), "b": keras.layers.Dense(1, name="b")(x)}
    return keras.Model({"first": first, "second": second}, outputs)


def test_several_outputs_loss_weights_and_sample_weights_are_honoured(data):
    model = two_headed()
    model.compile(loss={"a": "mse", "b": "mae"}, loss_weights={"a": 2.0, "b": 0.5})
    x = {"first": data[0], "second": data[1]}
    y = {"a": data[0][:, :2], "b": data[1][:, :1]}
    weight = np.random.default_rng(1).uniform(0.1, 3, 64).astype("float32")
    _, report = tfprune.one_shot(model, 0.0, "magnitude", (x, y, weight), examples=None)
    keras_loss = model.evaluate(x, y, sample_weight=weight, batch_size=64, verbose=0)[0]
    assert report.stages[0].loss_before == pytest.approx(keras_loss, rel=1e-5)
    pruned = tfprune.prune(model, tfprune.OneShot(0.5), rules=[("b/.*", None)])
    evidence = evidence_of(pruned, (x, y, {"a": weight}), {"a": "mse"})
    plain = evidence_of(pruned, (x, y), {"a": "mse", "b": None})
    name = next(n for n in evidence.masks if "trunk" in n)
    expected = plain.per_example()[name] * weight[:, None, None]
    assert np.allclose(evidence.per_example()[name], expected, atol=1e-5)


def quadratic(data):
    """A linear model with squared loss: its Hessian is 2/3 X^T X / N for each of three outputs."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, use_bias=False, name="w")])
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    x = data[0].astype("float64")
    return evidence_of(pruned, data, "mse"), np.kron(x.T @ x / 64, np.eye(3)) * 2 / 3


def test_curvature_of_a_quadratic_loss_is_its_hessian(data):
    evidence, hessian = quadratic(data)
    (name,) = evidence.masks
    vector = np.random.default_rng(2).normal(size=(6, 3)).astype("float32")
    product = evidence.hessian_vector_product({name: vector})[name]
    assert np.allclose(product.ravel(), hessian @ vector.ravel(), atol=1e-5)
    exact = evidence.hessian_diagonal()[name]
    assert np.allclose(exact.ravel(), np.diagonal(hessian), atol=1e-5)
    estimate = evidence.hessian_diagonal(probes=400)[name]
    assert np.abs(estimate - exact).max() < 0.2 * exact.max()
    assert not np.array_equal(estimate, exact)


def gated(data):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, use_bias=False, name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Activation("tanh"),
            keras.layers.Dense(3, name="out"),
        ]
    )
    norm = model.get_layer("norm")
    norm.gamma.assign([1.0, 0.5, -2.0, 0.3])
    norm.beta.assign([0.1, -0.4, 0.0, 0.7])
    return tfprune.prune(model, tfprune.OneShot(0.5), rules=[("out/.*", None)]), norm


def test_gate_derivatives_are_those_of_a_scaled_channel(data):
    pruned, _ = gated(data)
    evidence = evidence_of(pruned, data, "mse", examples=None)
    norm = pruned.get_layer("norm")
    gamma, beta = np.array(norm.gamma), np.array(norm.beta)
    (name,) = evidence.masks
    first, second = (
        np.concatenate([g[name] for g in found])
        for found in (evidence.gates(64), evidence.gate_curvature(64))
    )
    assert first.shape == second.shape == (1, 4)
    step = 0.02
    for channel in range(4):
        values = []
        for gate in (1 - step, 1.0, 1 + step):
            scale = np.ones(4)
            scale[channel] = gate
            norm.gamma.assign(gamma * scale)
            norm.beta.assign(beta * scale)
            outputs = pruned.predict(data[0], verbose=0).astype("float64")
            values.append(np.mean((outputs - data[1]) ** 2))
        slope, bend = (values[2] - values[0]) / (2 * step), np.diff(values, 2)[0] / step**2
        assert first[0, channel] == pytest.approx(slope, abs=2e-3)
        assert second[0, channel] == pytest.approx(bend, abs=2e-2)


def test_gates_of_kernels_of_one_path_are_told_apart(data):
    def block(inputs, units):
        return keras.layers.BatchNormalization()(keras.layers.Dense(units, name="a")(inputs))

    inner, inputs = keras.Input((5,)), keras.Input((6,))
    back = keras.Model(inner, block(inner, 3), name="back")
    model = keras.Model(inputs, back(block(inputs, 5)))
    evidence = evidence_of(tfprune.prune(model, tfprune.OneShot(0.5)), data, "mse")
    found = next(evidence.gates(64))
    assert sorted((name, values.shape[1:]) for name, values in found.items()) == [
        ("a/kernel", (5,)),
        ("a/kernel#2", (3,)),
    ]


def test_gates_without_batch_normalization_are_refused_by_name(mlp, data):
    evidence = evidence_of(tfprune.prune(mlp, tfprune.OneShot(0.5)), data, "mse")
    with pytest.raises(ValueError, match="Gates need a BatchNormalization.*hidden/kernel"):
        next(evidence.gates(8))


def test_gradients_beyond_the_memory_budget_lie_on_disk(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.5))
    in_memory = evidence_of(pruned, data, "mse").per_example()
    on_disk = evidence_of(pruned, data, "mse", memory_budget=1000).per_example()
    for name, value in on_disk.items():
        assert isinstance(value, np.memmap) and not isinstance(in_memory[name], np.memmap)
        assert np.array_equal(value, in_memory[name])


def test_a_disk_without_room_is_one_error_before_anything_is_computed(mlp, data, monkeypatch):
    def full(file, start, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.5))
    folder = re.escape(repr(tempfile.gettempdir()))
    message = f"`memory_budget` must.* 46,080 bytes.*{folder}.*No space.*TMPDIR.*Received: .*1,000"
    with pytest.raises(ValueError, match=message):
        evidence_of(pruned, data, "mse", memory_budget=1000).per_example()


@pytest.mark.parametrize("policy", ["float64", "mixed_float16"])
@pytest.mark.parametrize(
    "scorer", ["obd", tfprune.scorers.OBD(probes=None), tfprune.scorers.Taylor(order=2), "grasp"]
)
def test_second_derivatives_are_taken_in_the_precision_of_the_weights(data, policy, scorer):
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(5, "tanh", dtype=policy),
        keras.layers.Dense(3, dtype=policy),
    ]
    options = {"distribution": "uniform", "verbose": False}
    _, report = tfprune.one_shot(keras.Sequential(layers), 0.5, scorer, data, "mse", **options)
    assert report.nonzeros == 15 + round(0.5 * 15)


def test_two_replicas_give_the_gradients_of_one(data, two_replicas):
    def gradients():
        keras.utils.set_random_seed(0)
        layers = [keras.Input((6,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(3)]
        pruned = tfprune.prune(keras.Sequential(layers), tfprune.OneShot(0.5))
        pruned.compile("sgd", "mse")
        evidence = evidence_of(pruned, (data[0][:37], data[1][:37]))
        return [*evidence.per_example().values(), *evidence.mean().values()]

    alone = gradients()
    with two_replicas.scope():
        together = gradients()
    assert len(alone) == 4
    for one, other in zip(alone, together):
        assert one.shape == other.shape and np.allclose(one, other, atol=1e-6)


def test_an_interrupted_pass_leaves_the_model_unchanged(data):
    layers = [keras.Input((3, 2), batch_size=None), keras.layers.LSTM(4), keras.layers.Dense(3)]
    pruned = tfprune.prune(keras.Sequential(layers), tfprune.OneShot(0.5))
    before = [np.array(v) for v in pruned.variables]
    passes = evidence_of(pruned, (data[0].reshape(64, 3, 2), data[1]), "mse").batches(4)
    next(passes)
    with pytest.raises(KeyboardInterrupt):
        passes.throw(KeyboardInterrupt)
    assert all(np.array_equal(a, np.array(v)) for a, v in zip(before, pruned.variables))


class Rounded(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.cast(keras.ops.cast(inputs, "int32"), "float32")


def test_weights_without_a_gradient_are_named(data):
    layers = [keras.Input((6,)), keras.layers.Dense(5, name="lost"), Rounded()]
    model = keras.Sequential([*layers, keras.layers.Dense(3, name="reached")])
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    with pytest.raises(ValueError, match=r"no gradient for \['.*lost/kernel'\]"):
        evidence_of(pruned, data, "mse")


def test_a_loss_that_is_not_finite_is_refused(mlp, data):
    def broken(y, outputs):
        return keras.ops.log(keras.ops.zeros_like(outputs) - 1.0)

    with pytest.raises(ValueError, match="needs finite numbers. Received: the loss is nan"):
        evidence_of(tfprune.prune(mlp, tfprune.OneShot(0.5)), data, broken)
