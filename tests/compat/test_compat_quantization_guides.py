"""The code of tensorflow-model-optimization's two quantization guides, one import line changed.

The guides train MNIST; these tests train the same models, smaller, on 28 x 28 noise with stripes.
"""

import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import tfprune
from tfprune.compat import tfmot

LastValueQuantizer = tfmot.quantization.keras.quantizers.LastValueQuantizer
MovingAverageQuantizer = tfmot.quantization.keras.quantizers.MovingAverageQuantizer
quantize_annotate_layer = tfmot.quantization.keras.quantize_annotate_layer
quantize_annotate_model = tfmot.quantization.keras.quantize_annotate_model
quantize_scope = tfmot.quantization.keras.quantize_scope

X = np.random.default_rng(0).random((100, 20)).astype("float32")


def train(model):
    model.compile("adam", "mse")
    model.fit(X, np.zeros((100, model.output_shape[-1])), epochs=1, verbose=0)
    return model


def base():
    return keras.Sequential(
        [keras.Input((20,)), keras.layers.Dense(20), keras.layers.Flatten()], name="base"
    )


class CustomLayer(tf.keras.layers.Dense):
    pass


class DefaultDenseQuantizeConfig(tfmot.quantization.keras.QuantizeConfig):
    # Configure how to quantize weights.
    def get_weights_and_quantizers(self, layer):
        return [
            (
                layer.kernel,
                LastValueQuantizer(num_bits=8, symmetric=True, narrow_range=False, per_axis=False),
            )
        ]

    # Configure how to quantize activations.
    def get_activations_and_quantizers(self, layer):
        return [
            (
                layer.activation,
                MovingAverageQuantizer(
                    num_bits=8, symmetric=False, narrow_range=False, per_axis=False
                ),
            )
        ]

    def set_quantize_weights(self, layer, quantize_weights):
        # Add this line for each item returned in `get_weights_and_quantizers`
        # , in the same order
        layer.kernel = quantize_weights[0]

    def set_quantize_activations(self, layer, quantize_activations):
        # Add this line for each item returned in `get_activations_and_quantizers`
        # , in the same order.
        layer.activation = quantize_activations[0]

    # Configure how to quantize outputs (may be equivalent to activations).
    def get_output_quantizers(self, layer):
        return []

    def get_config(self):
        return {}


class OutputsAsTheyAre(DefaultDenseQuantizeConfig):
    def get_activations_and_quantizers(self, layer):
        # Skip quantizing activations.
        return []

    def set_quantize_activations(self, layer, quantize_activations):
        # Empty since `get_activaations_and_quantizers` returns
        # an empty list.
        return


class FourBits(DefaultDenseQuantizeConfig):
    # Configure weights to quantize with 4-bit instead of 8-bits.
    def get_weights_and_quantizers(self, layer):
        return [
            (
                layer.kernel,
                LastValueQuantizer(num_bits=4, symmetric=True, narrow_range=False, per_axis=False),
            )
        ]


class FixedRangeQuantizer(tfmot.quantization.keras.quantizers.Quantizer):
    """Quantizer which forces outputs to be between -1 and 1."""

    def build(self, tensor_shape, name, layer):
        # Not needed. No new TensorFlow variables needed.
        return {}

    def __call__(self, inputs, training, weights, **kwargs):
        return keras.ops.clip(inputs, -0.1, 0.1)

    def get_config(self):
        # Not needed. No __init__ parameters to serialize.
        return {}


class FixedRange(DefaultDenseQuantizeConfig):
    # Configure weights to quantize with a custom algorithm.
    def get_weights_and_quantizers(self, layer):
        # Use custom algorithm defined in `FixedRangeQuantizer` instead of default Quantizer.
        return [(layer.kernel, FixedRangeQuantizer())]


# The converter's own note on the types of inputs.
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_guide_1_train_quantize_convert_and_compare():
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.Reshape(target_shape=(28, 28, 1)),
            keras.layers.Conv2D(filters=4, kernel_size=(3, 3), activation="relu"),
            keras.layers.MaxPooling2D(pool_size=(2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 200)
    images = random.random((200, 28, 28)).astype("float32") * 0.5
    images[np.arange(200), 2 * labels] += 1.0
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(images, labels, epochs=3, validation_split=0.1, verbose=0)

    quantize_model = tfmot.quantization.keras.quantize_model

    # q_aware stands for for quantization aware.
    q_aware_model = quantize_model(model)
    # `quantize_model` requires a recompile.
    q_aware_model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    q_aware_model.summary(print_fn=lambda text, **options: None)
    q_aware_model.fit(images, labels, epochs=1, validation_split=0.1, verbose=0)

    converter = tf.lite.TFLiteConverter.from_keras_model(q_aware_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    quantized_tflite_model = converter.convert()
    float_converter = tf.lite.TFLiteConverter.from_keras_model(model)
    assert len(quantized_tflite_model) < len(float_converter.convert()) / 2.5

    interpreter = Interpreter(model_content=quantized_tflite_model)
    interpreter.allocate_tensors()
    found = []
    for image in images[:50]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    last = q_aware_model.layers[-1]
    step = (float(last.high) - float(last.low)) / 255
    expected = q_aware_model.predict(images[:50], verbose=0)
    assert np.mean(np.abs(found - expected) < 1.01 * step) > 0.98
    assert isinstance(tfprune.strip_pruning(q_aware_model).layers[-1], keras.layers.Dense)


def test_guide_2_some_layers_functional_sequential_and_reading_back():
    base_model = base()

    # Helper function uses `quantize_annotate_layer` to annotate that only the
    # Dense layers should be quantized.
    def apply_quantization_to_dense(layer):
        if isinstance(layer, tf.keras.layers.Dense):
            return tfmot.quantization.keras.quantize_annotate_layer(layer)
        return layer

    annotated_model = tf.keras.models.clone_model(
        base_model, clone_function=apply_quantization_to_dense
    )
    quant_aware_model = tfmot.quantization.keras.quantize_apply(annotated_model)
    copied = quant_aware_model.get_layer(base_model.layers[0].name).layer
    assert np.array_equal(copied.get_weights()[0], base_model.get_weights()[0])

    # Use `quantize_annotate_layer` to annotate that the `Dense` layer
    # should be quantized.
    i = tf.keras.Input(shape=(20,))
    x = tfmot.quantization.keras.quantize_annotate_layer(tf.keras.layers.Dense(10))(i)
    o = tf.keras.layers.Flatten()(x)
    annotated_model = tf.keras.Model(inputs=i, outputs=o)
    functional = train(tfmot.quantization.keras.quantize_apply(annotated_model))
    assert [type(layer).__name__ for layer in functional.layers[1:]] == [
        "ActivationRange",
        "PrunedLayer",
        "ActivationRange",
        "Flatten",
    ]

    # Use `quantize_annotate_layer` to annotate that the `Dense` layer
    # should be quantized.
    annotated_model = tf.keras.Sequential(
        [
            tf.keras.Input((20,)),
            tfmot.quantization.keras.quantize_annotate_layer(tf.keras.layers.Dense(20)),
            tf.keras.layers.Flatten(),
        ]
    )
    train(tfmot.quantization.keras.quantize_apply(annotated_model))

    # Save or checkpoint the model.
    _, keras_model_file = tempfile.mkstemp(".keras")
    functional.save(keras_model_file)
    # `quantize_scope` is needed for deserializing HDF5 models.
    with tfmot.quantization.keras.quantize_scope():
        loaded_model = tf.keras.models.load_model(keras_model_file)
    assert type(loaded_model) is type(functional)
    assert np.array_equal(loaded_model.predict(X, verbose=0), functional.predict(X, verbose=0))


def quantized(config):
    model = quantize_annotate_model(
        tf.keras.Sequential(
            [
                tf.keras.Input((20,)),
                # Pass in modified `QuantizeConfig` to modify this layer.
                quantize_annotate_layer(CustomLayer(20), config()),
                tf.keras.layers.Flatten(),
            ]
        )
    )
    # `quantize_apply` requires mentioning the config class with `quantize_scope`
    # as well as the custom Keras layer.
    with quantize_scope({config.__name__: config, "CustomLayer": CustomLayer}):
        return tfmot.quantization.keras.quantize_apply(model)


@pytest.mark.parametrize(
    "config, levels, ranges",
    [
        (DefaultDenseQuantizeConfig, 255, 2),
        (OutputsAsTheyAre, 255, 1),
        (FourBits, 15, 2),
        (FixedRange, None, 2),
    ],
)
def test_guide_2_a_config_says_how_a_custom_layer_is_quantized(config, levels, ranges, tmp_path):
    model = train(quantized(config))
    rounded = tfprune.strip_pruning(model).layers[0].kernel.numpy()
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("ActivationRange") == ranges
    if levels is None:
        assert np.abs(rounded).max() == np.float32(0.1)
    else:
        assert levels // 3 < len(np.unique(rounded)) <= levels
    model.save(tmp_path / "m.keras")
    with quantize_scope({config.__name__: config, "CustomLayer": CustomLayer}):
        loaded = keras.models.load_model(tmp_path / "m.keras")
    assert np.array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="`model` must have a layer that is marked"):
        tfmot.quantization.keras.quantize_apply(base())
    with pytest.raises(TypeError, match="`quantize_config` must be a QuantizeConfig"):
        quantize_annotate_layer(keras.layers.Dense(2), "int8")
    with pytest.raises(ValueError, match="`to_annotate` must be a layer that is no model"):
        quantize_annotate_layer(base())
    with pytest.raises(TypeError, match="`scheme` must be a Default8BitQuantizeScheme"):
        tfmot.quantization.keras.quantize_apply(base(), scheme=4)
    with pytest.raises(ValueError, match="`num_bits` must be in .2, 16.. Received: num_bits=17"):
        LastValueQuantizer(17, False, True, True)
