"""quantize_aware end to end: what the converter stores, accuracy on real data, and JAX."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from sklearn.datasets import load_digits

import tfprune
from tests.support.jax_session import run_on_jax


# The converter's own note on the types of inputs.
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
@pytest.mark.parametrize("full", [False, True])
def test_the_converter_stores_the_rounded_weights_without_further_loss(full):
    inputs = keras.Input((6, 6, 8), batch_size=1)
    x = layers.DepthwiseConv2D(3, depth_multiplier=8, name="depthwise")(inputs)
    x = layers.BatchNormalization()(layers.Conv2D(24, 1, use_bias=False, name="pointwise")(x))
    x = layers.Conv2DTranspose(12, 2, name="transposed")(layers.ReLU()(x))
    x = layers.Dense(40, name="dense")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Dense(40, name="last")(x))
    sparse = tfprune.one_shot(
        model, 0.5, "magnitude", (np.ones((2, 6, 6, 8)), np.ones((2, 40))), "mse"
    )[0]
    plain = tfprune.strip_pruning(tfprune.quantize_aware(sparse))
    function = tf.function(lambda x: plain(x, training=False)).get_concrete_function(
        tf.TensorSpec((1, 6, 6, 8))
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if full:
        random = np.random.default_rng(0)
        converter.representative_dataset = lambda: (
            [random.normal(size=(1, 6, 6, 8)).astype("float32")] for _ in range(3)
        )
    interpreter = Interpreter(model_content=converter.convert())
    stored = {}
    for detail in interpreter.get_tensor_details():
        how = detail["quantization_parameters"]
        if detail["dtype"] is np.int8 and len(how["scales"]) > 1 and len(detail["shape"]) > 1:
            shape = np.ones(len(detail["shape"]), int)
            shape[how["quantized_dimension"]] = -1
            integers = interpreter.get_tensor(detail["index"])
            stored[integers.size] = integers * how["scales"].reshape(shape)
    norm = next(layer for layer in plain.layers if "normalization" in layer.name)
    folded = (norm.gamma / keras.ops.sqrt(norm.moving_variance + norm.epsilon)).numpy()
    kernels = {
        "pointwise": plain.get_layer("pointwise").kernel.numpy()[0, 0].T * folded[:, None],
        "last": plain.get_layer("last").kernel.numpy().T,
        "transposed": plain.get_layer("transposed").kernel.numpy().transpose(2, 0, 1, 3),
    }
    if full:
        kernels["depthwise"] = plain.get_layer("depthwise").kernel.numpy()
    for name, kernel in kernels.items():
        found = stored[kernel.size].reshape(kernel.shape)
        assert np.allclose(found, kernel, rtol=1e-5, atol=1e-7), name


def test_training_with_rounding_beats_rounding_afterwards_on_digits():
    """With 2 bits, where the loss is plain to see; with 8 bits none of the accuracy is lost."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    hidden = [layers.Dense(32, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])

    def train(model, epochs, rate, callbacks=()):
        model.compile(keras.optimizers.Adam(rate), loss)
        model.fit(x[:1300], y[:1300], epochs=epochs, verbose=0, callbacks=[*callbacks])
        return model

    def evaluate(model):
        plain = tfprune.strip_pruning(model)
        plain.compile(loss=loss, metrics=["accuracy"])
        return plain.evaluate(x[1300:], y[1300:], verbose=0)

    train(model, 6, 0.005)
    plan = tfprune.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=120, frequency=20)
    pruned = train(tfprune.prune(model, plan), 6, 0.005, [tfprune.UpdatePruningStep()])
    loss_after, accuracy_after = evaluate(tfprune.quantize_aware(pruned, bits=2))
    loss_aware, accuracy_aware = evaluate(train(tfprune.quantize_aware(pruned, bits=2), 5, 0.002))
    assert loss_aware < loss_after - 0.1
    assert accuracy_aware > accuracy_after + 0.02
    int8 = train(tfprune.quantize_aware(pruned), 3, 0.001)
    assert evaluate(int8)[1] > evaluate(pruned)[1] - 0.01


def test_jax_trains_rounded_weights_and_activations_and_strips_them(tmp_path):
    code = """
        import keras, numpy as np, tfprune
        assert keras.config.backend() == "jax"
        random = np.random.default_rng(0)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="out")])
        weights = random.normal(size=(6, 3)) * (random.random((6, 3)) < 0.5)
        model.layers[0].kernel.assign(weights)
        data = random.normal(size=(32, 6)), random.normal(size=(32, 3))
        aware = tfprune.quantize_aware(model)
        aware.compile("adam", "mse")
        aware.fit(*data, verbose=0)
        kernel = np.array(tfprune.strip_pruning(aware).layers[0].kernel)
        scale = np.abs(kernel).max(axis=0) / 127
        assert np.allclose(np.round(kernel / scale) * scale, kernel, rtol=1e-6, atol=0)
        assert not kernel[weights == 0].any() and np.abs(kernel - weights).max() > 1e-4
        aware.save("PATH")
        expected = aware.predict(data[0], verbose=0)
        assert np.array_equal(keras.saving.load_model("PATH").predict(data[0], verbose=0), expected)

        layers = keras.layers
        recurrent = [layers.Reshape((3, 2)), layers.GRU(4), layers.Dense(3, "gelu", name="last")]
        model = keras.Sequential([keras.Input((6,)), *recurrent])
        aware = tfprune.quantize_aware(model, activations=True)
        aware.compile("adam", "mse")
        aware.fit(*data, verbose=0, epochs=2)
        middle = aware.get_layer("range_after_last")
        assert float(middle.batches) == 2 and 0 < float(middle.high) < 3
        step = (float(middle.high) - float(middle.low)) / 255
        steps = np.array(aware.predict(data[0], verbose=0)) / step
        assert np.abs(steps - np.round(steps)).max() < 1e-3
        assert len(np.unique(np.round(steps))) > 5
    """
    run_on_jax(code.replace("PATH", str(tmp_path / "m.keras")))
