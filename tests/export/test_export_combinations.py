"""Every combination of model, structure, quantization and target loads and predicts like Keras."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune.export.builder import build
from tfprune.export.convert import converter, copies
from tfprune.export.file import signature
from tfprune.export.run import runtime, verify
from tfprune.targets.target import INTEGER_ARITHMETIC, QUANTIZE, TARGETS

EXAMPLES = 4
# Tighter than what the exporter allows: these models are small.
CLOSE = {None: 1e-5, "float16": 1e-2, "int8_weights": 1e-1, "dynamic": 1e-1, "int8": 3e-1}

# "auto" is "arm64" by another name.
_DISTINCT = [each for name, each in TARGETS.items() if name not in ("auto", "microcontroller")]


def mobile():
    """Strided, depthwise, residual and squeezed convolutions, as in mobile networks."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(inputs)
    y = layers.Conv2D(32, 1, use_bias=False)(x)
    y = layers.BatchNormalization()(y)
    y = layers.ReLU(6.0)(y)
    y = layers.DepthwiseConv2D(3, padding="same")(y)
    y = layers.Conv2D(16, 1)(y)
    x = layers.Add()([x, y])
    x = layers.DepthwiseConv2D(5, strides=2, padding="same", activation="hard_silu")(x)
    x = layers.Conv2D(64, 1, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def plain_convolutions():
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Dense(8)(layers.Flatten()(x)))


def perceptron():
    hidden = [layers.Dense(128, activation="relu") for _ in range(2)]
    return keras.Sequential([keras.Input((128,)), *hidden, layers.Dense(16)])


def recurrent():
    return keras.Sequential(
        [
            keras.Input((4, 32)),
            layers.LSTM(64, return_sequences=True),
            layers.GRU(32),
            layers.Dense(8),
        ]
    )


def two_heads_with_a_picture():
    inputs = [keras.Input((8, 8, 4), name="picture"), keras.Input((32,), name="numbers")]
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(inputs[0])
    x = layers.Conv2D(32, 1)(x)
    pooled = layers.GlobalAveragePooling2D()(x)
    both = layers.Concatenate()([pooled, layers.Dense(64, activation="relu")(inputs[1])])
    return keras.Model(inputs, [x, layers.Dense(6)(both)])


MODELS = (mobile, plain_convolutions, perceptron, recurrent, two_heads_with_a_picture)
STRUCTURES = {
    "elements": lambda: tfprune.Unstructured(),
    "blocks of 4": lambda: tfprune.Block(4, 1),
    "blocks of 16": lambda: tfprune.Block(16, 1),
    "channels": lambda: tfprune.Channel(-1),
}


def pruned(model, structure):
    masked = tfprune.prune(model, tfprune.OneShot(0.85), structure=structure)
    tfprune.PruningUpdater(masked, keras.optimizers.SGD()).begin()
    return tfprune.strip_pruning(masked)


def test_one_target_is_built_as_another_is():
    assert dataclasses.replace(TARGETS["auto"], name="arm64") == TARGETS["arm64"]


@pytest.mark.filterwarnings("ignore:Channels are removed that the model returns:UserWarning")
@pytest.mark.parametrize(
    "builder, structure",
    [
        pytest.param(builder, [*STRUCTURES][at % len(STRUCTURES)], id=f"{builder.__name__}-{at}")
        for first, builder in enumerate(MODELS)
        for at in (first, first + 1)
    ],
)
def test_every_file_loads_and_predicts_like_keras(builder, structure, tmp_path):
    keras.utils.set_random_seed(1)
    model = pruned(builder(), STRUCTURES[structure]())
    signed = signature.signature_of(model)
    rng = np.random.default_rng(0)
    inputs = [
        rng.standard_normal((EXAMPLES, *entry.shape[1:])).astype(entry.dtype)
        for entry in signed.inputs
    ]
    expected = verify.predict(model, signed, inputs)

    @functools.cache
    def converted(kind):
        source = copies.unrolled(model, signed) if kind == "int8" else model
        return converter.convert(source, signed, quantize=kind, representative=inputs)

    seen = {}
    for quantize in QUANTIZE:
        stored = converted(quantize if quantize in INTEGER_ARITHMETIC else None)
        for target in _DISTINCT:
            lower = target.in_webassembly and quantize != "dynamic"
            for lowered in {False, lower}:
                built = build(stored, target=target, quantize=quantize, lower_conv3x3=lowered)
                assert len(built.content) <= len(stored.content) + 16_384
                seen.setdefault(built.content, quantize)
    assert len(seen) >= 5
    paths = [tmp_path / f"{number}.tflite" for number in range(len(seen))]
    for path, content in zip(paths, seen):
        path.write_bytes(content)
    runs = [runtime.Run(path, inputs, batch=1) for path in paths]
    for found, quantize in zip(runtime.outputs_of(runs), seen.values()):
        plain = found[runtime.KERNELS[-1]]
        for kernels, arrays in found.items():
            for array, wanted, own in zip(arrays, expected, plain, strict=True):
                scale = np.max(np.abs(wanted))
                assert np.max(np.abs(array - wanted)) <= CLOSE[quantize] * scale, kernels
                same = 5e-2 if quantize in INTEGER_ARITHMETIC else 1e-4
                assert np.max(np.abs(array - own)) <= same * scale, quantize
