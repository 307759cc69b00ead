"""What `to_tflite` asks of its arguments, checked before anything is computed or written."""

from collections.abc import Sequence

import keras
import numpy as np

from tfprune.export.file.signature import Input
from tfprune.export.run import micro
from tfprune.layer_classes.prunable import flatten
from tfprune.support.arrays import host_array
from tfprune.support.path_argument import require_path
from tfprune.support.tensors import Nest
from tfprune.support.validation import (
    require_flag,
    require_integer,
    require_model,
    require_one_of,
)
from tfprune.targets.target import (
    IN_INTEGERS_THROUGHOUT,
    INTEGER_ARITHMETIC,
    QUANTIZE,
    TARGETS,
    require_target,
)
from tfprune.wrapping.pruned_layer import pruned_layers
from tfprune.wrapping.ranges.ranged_layer import ranges_in


def check_options(
    *,
    path: object,
    target: str,
    quantize: str | None,
    representative_data: Nest,
    lower_conv3x3: bool,
    unroll: bool,
    sparse: bool,
    batch_size: int | None,
    arena_bytes: int | None,
) -> None:
    """Refuses options that are unknown or do not go together.

    Raises:
        TypeError: If `path` is no path, a flag no bool or a number no integer.
        ValueError: If an option is unknown, or another one is missing or of no use with it.
    """
    require_path("path", path)
    for name, flag in (("lower_conv3x3", lower_conv3x3), ("unroll", unroll), ("sparse", sparse)):
        require_flag(name, flag)
    target = require_target(target)
    require_one_of("quantize", quantize, QUANTIZE)
    for name, number in (("batch_size", batch_size), ("arena_bytes", arena_bytes)):
        if number is not None:
            require_integer(name, number, minimum=1)
    if arena_bytes is not None and not TARGETS[target].in_tflite_micro:
        raise ValueError(
            "`arena_bytes` must be None unless `target='microcontroller'`: other runtimes take "
            f"what memory they need. Received: arena_bytes={arena_bytes}, target={target!r}."
        )
    throughout = quantize in IN_INTEGERS_THROUGHOUT
    if throughout and batch_size is None:
        raise ValueError(
            f"`batch_size` must be a number with `quantize={quantize!r}`: activations are "
            "calibrated in batches of it. Received: batch_size=None."
        )
    if TARGETS[target].in_tflite_micro:
        if quantize not in (None, "int8"):
            raise ValueError(
                f"`quantize` must be None or 'int8' for `target={target!r}`: tflite-micro has no "
                f"other arithmetic. Received: quantize={quantize!r}."
            )
        micro.require_installed()
    if batch_size is None and not TARGETS[target].takes_free_shapes:
        raise ValueError(
            f"`batch_size` must be a number for `target={target!r}`, whose runtime takes fixed "
            "shapes only. Received: batch_size=None."
        )
    if not throughout and representative_data is not None:
        raise ValueError(
            "`representative_data` must be None unless `quantize` is 'int8' or 'int4': nothing "
            f"else is calibrated. Received: quantize={quantize!r} and representative data."
        )
    runs_sparse = TARGETS[target].sparse_convolutions and quantize not in INTEGER_ARITHMETIC
    if lower_conv3x3 and not runs_sparse:
        raise ValueError(
            "`lower_conv3x3` must be False for this file: only float32 arithmetic on ARM64 or in "
            "WebAssembly has the sparse kernels that the lowering is for. Received: "
            f"lower_conv3x3=True, target={target!r}, quantize={quantize!r}."
        )


def check_ranges(model: keras.Model, *, quantize: str | None, representative_data: Nest) -> bool:
    """Whether training has learned ranges of the activations; refuses what does not go with that.

    Raises:
        ValueError: If neither ranges nor data for them are there, or both, or ranges were never
            observed, or the file is to hold floats.
    """
    ranges = ranges_in(model)
    if not ranges:
        if quantize in IN_INTEGERS_THROUGHOUT and representative_data is None:
            raise ValueError(
                f"`representative_data` must be given with `quantize={quantize!r}`: activations"
                " are calibrated on it, unless `tfprune.quantize_aware(model, activations=True)` "
                "has trained. Received: representative_data=None."
            )
        return False
    if quantize not in IN_INTEGERS_THROUGHOUT:
        raise ValueError(
            "`quantize` must be 'int8' or 'int4' for a model with ranges of activations; for "
            f"other files, pass `tfprune.strip_pruning(model)`. Received: quantize={quantize!r}."
        )
    if representative_data is not None:
        raise ValueError(
            "`representative_data` must be None for a model with ranges of activations, which "
            "training has learned. Received: representative data."
        )
    unseen = [item.path for item in ranges if not item.was_observed]
    if unseen:
        raise ValueError(
            "`model` must have seen at least one batch of training, which sets the ranges of its "
            f"activations. Received: model={model.name!r}, in which {len(unseen)} of "
            f"{len(ranges)} ranges were never observed, {unseen[0]!r} first."
        )
    return True


def check_inputs(inputs: Sequence[Input], target: str) -> None:
    """Refuses inputs of free sizes where the runtime takes fixed ones only.

    Raises:
        ValueError: If the target is such a runtime's, and a size besides the batch is free.
    """
    for entry in inputs:
        if None in entry.shape[1:] and not TARGETS[target].takes_free_shapes:
            raise ValueError(
                f"`model` must have inputs of fixed sizes for `target={target!r}`, whose runtime "
                "takes fixed shapes only: build it with an Input of one size. Received: the input "
                f"{entry.name!r} of shape {entry.shape[1:]}."
            )


def check_model(model: keras.Model) -> None:
    """Refuses, by name, what would fail later or be exported wrongly.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it cannot be exported as it is.
    """
    require_model("model", model, built=False)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`model` must be on the TensorFlow backend: save it, set KERAS_BACKEND=tensorflow and "
            f"load it. Received: the backend {keras.backend.backend()!r}."
        )
    if not model.built:
        raise ValueError(
            "`model` must be built: call it on data or give it an Input. "
            f"Received: model={model.name!r}, which has no weights."
        )
    pruned = [layer.name for layer in pruned_layers(model)]
    if pruned and not ranges_in(model):
        raise ValueError(
            "`model` must be stripped: pass `tfprune.strip_pruning(model)`. "
            f"Received: model={model.name!r} with pruned layers {pruned}."
        )
    stateful = [layer.name for layer in flatten(model) if getattr(layer, "stateful", False)]
    if stateful:
        raise ValueError(
            "`model` must be stateless, a TFLite file keeps no state between runs: build the "
            f"layers with stateful=False. Received: stateful layers {stateful}."
        )
    for weight in model.weights:
        values = host_array(weight.value)
        if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
            raise ValueError(
                f"`model` must hold no NaN. Received: NaN in the weight {weight.path!r}, "
                f"shape {values.shape}."
            )
