"""What `bench_export.py` measures: networks with random weights, pruned for one target each."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

import tfprune

VOCABULARY, STEPS = 2000, 32


@dataclasses.dataclass(frozen=True)
class Case:
    """One network on one runtime.

    Args:
        label: what tables call it.
        build: () -> model with random weights.
        runtime: "native" or "wasm".
        sparsity: of what `structures_for` prunes.
        goals: quantize -> smallest speed-up aimed at, None where there is none; the file without
            quantization is compared with the dense model in float32, and so are the others.
        lower: turn larger convolutions into sparse ones.
        unroll: unroll the time steps of recurrent layers.
    """

    label: str
    build: Callable[[], keras.Model]
    runtime: str
    sparsity: float
    goals: dict[str | None, float | None]
    lower: bool = False
    unroll: bool = False

    @property
    def target(self) -> str:
        return "wasm" if self.runtime == "wasm" else "x86"

    def describe(self) -> dict[str, Any]:
        """Return the case as plain values, for the results file."""
        return {
            "runtime": self.runtime,
            "target": self.target,
            "quantize": [kind or "float32" for kind in self.goals],
            "lower": self.lower,
            "unroll": self.unroll,
        }


def application(name: str, size: int = 224) -> Callable[[], keras.Model]:
    """Return a builder of one of `keras.applications` with random weights and logits as output."""

    def build() -> keras.Model:
        return getattr(keras.applications, name)(
            weights=None, input_shape=(size, size, 3), classifier_activation=None
        )

    return build


def mlp(width: int, depth: int = 4, classes: int = 1000) -> Callable[[], keras.Model]:
    """Return a builder of `depth` ReLU layers of `width` units and one of `classes`."""

    def build() -> keras.Model:
        hidden = [layers.Dense(width, activation="relu") for _ in range(depth)]
        return keras.Sequential([keras.Input((width,)), *hidden, layers.Dense(classes)])

    return build


def lstm_language_model(units: int = 512, depth: int = 2) -> keras.Model:
    """Return stacked LSTM layers over 32 tokens of a vocabulary of 2,000."""
    stack = [layers.LSTM(units, return_sequences=True) for _ in range(depth)]
    return keras.Sequential(
        [
            keras.Input((STEPS,), dtype="int32"),
            layers.Embedding(VOCABULARY, 256),
            *stack,
            layers.Dense(VOCABULARY),
        ]
    )


FLOAT_KINDS: dict[str | None, float | None] = {"float16": None, "int8_weights": None}
CASES = {
    "mobilenet_v1": Case(
        "MobileNetV1", application("MobileNet"), "wasm", 0.9, {None: 3.0, **FLOAT_KINDS}
    ),
    "mobilenet_v2": Case("MobileNetV2", application("MobileNetV2"), "wasm", 0.9, {None: 2.2}),
    "mobilenet_v3_large": Case(
        "MobileNetV3-Large", application("MobileNetV3Large"), "wasm", 0.9, {None: 2.0}
    ),
    "efficientnet_b0": Case(
        "EfficientNetB0", application("EfficientNetB0"), "wasm", 0.9, {None: 2.0}
    ),
    "resnet50_lowered": Case(
        "ResNet-50, lowered", application("ResNet50"), "wasm", 0.9, {None: 2.2}, lower=True
    ),
    "mlp_1024": Case("MLP 5 x 1024", mlp(1024), "native", 0.9, {None: 3.0}),
    "mlp_1024_95": Case("MLP 5 x 1024", mlp(1024), "native", 0.95, {None: 6.0}),
    "mlp_1024_int8": Case(
        "MLP 5 x 1024", mlp(1024), "native", 0.95, {"dynamic": 10.0, "int8": 10.0}
    ),
    "mlp_2048_int8": Case(
        "MLP 5 x 2048", mlp(2048), "native", 0.9, {"dynamic": 10.0, "int8": 10.0}
    ),
    "lstm_2x512": Case(
        "LSTM 2 x 512", lstm_language_model, "native", 0.9, {None: 2.0, "dynamic": None}
    ),
    "lstm_2x512_unrolled": Case(
        "LSTM 2 x 512, unrolled", lstm_language_model, "native", 0.9, {None: 1.8}, unroll=True
    ),
}


def inputs_of(model: keras.Model, count: int, seed: int = 0) -> np.ndarray:
    """Return random examples for a case's model: tokens, or normal numbers."""
    rng = np.random.default_rng(seed)
    shape = (count, *model.input_shape[1:])
    if model.inputs[0].dtype == "int32":
        return rng.integers(0, VOCABULARY, shape).astype("int32")
    return rng.standard_normal(shape).astype("float32")


def pruned(case: Case, quantize: str | None) -> keras.Model:
    """Return the case's model, pruned by magnitude for its target, stripped and scaled."""
    keras.utils.set_random_seed(0)
    return scaled(sparse(case.build(), case.sparsity, case.target, quantize))


def sparse(model: keras.Model, sparsity: float, target: str, quantize: str | None) -> keras.Model:
    """Return a model without the smallest weights, as the target's kernels like it, stripped."""
    structure = tfprune.structures_for(target, quantize=quantize)
    with warnings.catch_warnings():  # of zeros that save no time: that is measured
        warnings.filterwarnings("ignore", "On target")
        masked = tfprune.prune(model, tfprune.OneShot(sparsity), structure=structure)
    tfprune.PruningUpdater(masked, keras.optimizers.SGD()).begin()  # makes the update due at step 0
    return tfprune.strip_pruning(masked)


def scaled(model: keras.Model) -> keras.Model:
    """Scale the random kernels of a model in place, and return it.

    They are scaled (He et al., arXiv 1502.01852, for what is left of them), so that activations
    neither vanish nor explode, the last one so that outputs have a standard deviation of 1.
    Batch-norm statistics would do that too, but make random networks amplify rounding errors.
    """
    for layer in model.layers:
        if isinstance(layer, (layers.Dense, layers.Conv2D, layers.DepthwiseConv2D)):
            kernel = layer.kernel.numpy()
            summed = 2 if isinstance(layer, layers.DepthwiseConv2D) else -1
            fan_in = np.prod(kernel.shape[:summed])
            layer.kernel.assign(kernel * np.sqrt(2 / (fan_in * np.mean(kernel**2))))
    last = [layer for layer in model.layers if hasattr(layer, "kernel")][-1]
    last.kernel.assign(last.kernel / np.std(model(inputs_of(model, 1))))
    return model
