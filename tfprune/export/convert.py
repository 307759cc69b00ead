"""From a Keras model to a dense .tflite file.

Every model goes through one concrete function with a fixed batch. `Model.export` would do for
feed-forward models, but its free batch adds shape arithmetic that keeps the delegate from taking
the whole graph, and recurrent models come out with operators that the plain runtime lacks. The
converter is never given the model as its trackable object: recurrent models then get NaN weights.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune import quiet
from tfprune.export import flatbuffer, signature
from tfprune.prunable import flatten

SIGNATURE_KEY = "serving_default"  # the name that Keras's own export gives


def to_float32(model: keras.Model) -> keras.Model:
    """The model itself if it computes in float32, else a copy of it that does.

    Args:
        model: A built model, perhaps with a mixed-precision policy.

    Returns:
        A model with the same weights, whose every layer computes in float32.

    Raises:
        ValueError: If the model computes in another precision and cannot be copied.
    """
    layers = flatten(model)
    if all(layer.compute_dtype == "float32" for layer in layers):
        return model
    try:
        config = _with_float32(keras.saving.serialize_keras_object(model))
        copy = keras.saving.deserialize_keras_object(config, safe_mode=False)
        copy.set_weights(model.get_weights())
    except Exception as error:  # user code runs here: from_config may raise anything
        raise ValueError(
            "`model` must compute in float32 or be serializable, so that a float32 copy of it can "
            f"be made. Received: model={model.name!r}, dtype_policy={model.dtype_policy.name!r} "
            f"({error})."
        ) from error
    return copy


def convert(
    model: keras.Model, signed: signature.Signature, *, quantize: str | None = None
) -> bytes:
    """Converts a model to a dense .tflite file.

    Args:
        model: A built model that computes in float32.
        signed: Its signature.
        quantize: None, "float16" or "dynamic": the converter's own weight quantization.

    Returns:
        The file, with a signature that names the model's inputs and outputs.

    Raises:
        ValueError: If the model has an operation that TFLite has not.
    """
    import tensorflow as tf  # here: reading and timing files must not wait for TensorFlow

    paths: list[tuple[Any, ...]] = []

    def call(*tensors: Any) -> list[Any]:
        outputs = model(signed.nest(tensors), training=False)
        flat = keras.tree.flatten_with_path(outputs)
        paths[:] = [path for path, _ in flat]
        # An output that is an input, or comes twice, would lose its place in the file.
        return [tf.identity(tensor) for _, tensor in flat]

    specs = [
        tf.TensorSpec(entry.shape, entry.dtype, name=f"input_{position}")
        for position, entry in enumerate(signed.inputs)
    ]
    with _conversion_errors(model), quiet.silenced(), tf.device("CPU:0"):
        function = tf.function(call).get_concrete_function(*specs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    names = _output_names(model, paths)
    return _signed(content, [entry.name for entry in signed.inputs], names)


@contextlib.contextmanager
def _conversion_errors(model: keras.Model) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the converter raises many types, all about this model
        reason = " ".join(str(error).split())[:500]
        raise ValueError(
            f"`model` must be made of operations that TFLite has. Received: model={model.name!r} "
            f"({type(error).__name__}: {reason})."
        ) from error


def _with_float32(config: Any) -> Any:
    """A serialized object with every dtype policy in it replaced by float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {**config["config"], "name": "float32"}}
        return {key: _with_float32(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_with_float32(value) for value in config)
    return config


def _output_names(model: keras.Model, paths: list[tuple[Any, ...]]) -> list[str]:
    """The keys of the outputs, or Keras's own names, or their places."""
    names = list(getattr(model, "output_names", None) or ())
    keyed = any(isinstance(part, str) for path in paths for part in path)
    if keyed or len(names) != len(paths) or len(set(names)) != len(names):
        return [
            "_".join(map(str, path)) if keyed else f"output_{position}"
            for position, path in enumerate(paths)
        ]
    return names


def _signed(content: bytes, inputs: list[str], outputs: list[str]) -> bytes:
    """The file with a signature definition, which the converter writes for SavedModels only."""
    model = flatbuffer.parse(content, "the converted model")
    graph = model.subgraphs[0]
    if len(graph.inputs) != len(inputs) or len(graph.outputs) != len(outputs):
        raise ValueError(
            "`model` must use every one of its inputs. Received: a model with "
            f"{len(inputs)} inputs, of which the conversion kept {len(graph.inputs)}."
        )
    definition = schema.SignatureDefT()
    definition.signatureKey = SIGNATURE_KEY
    definition.subgraphIndex = 0
    definition.inputs = _tensor_maps(inputs, graph.inputs)
    definition.outputs = _tensor_maps(outputs, graph.outputs)
    model.signatureDefs = [definition]
    return flatbuffer.pack(model)


def _tensor_maps(names: list[str], indices: np.ndarray) -> list[Any]:
    maps = []
    for name, index in zip(names, indices):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, int(index)
        maps.append(entry)
    return maps
