"""Copies of a model that convert better: computed in float32, or with unrolled loops."""

from collections.abc import Callable

import keras

from tfprune.export.file import signature
from tfprune.keras_graph.rebuilding import rebuild
from tfprune.layer_classes.prunable import flatten
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.support.tensors import Nest
from tfprune.wrapping.pruned_layer import pruned_layers
from tfprune.wrapping.shortfall import tell_shortfall


def to_float32(model: keras.Model) -> keras.Model:
    """The model itself if it computes in float32, else a copy of it that does.

    Args:
        model: A built model, perhaps with a mixed-precision policy.

    Returns:
        A model with the same weights, whose every layer computes in float32.

    Raises:
        ValueError: If the model computes in another precision and cannot be copied.
    """
    if all(layer.compute_dtype == "float32" for layer in flatten(model)):
        return model
    return _copy(model, _in_float32, f"compute in float32 (it has {model.dtype_policy.name!r})")


def unmasked(model: keras.Model, *, keep_ranges: bool) -> keras.Model:
    """A copy without `PrunedLayer`s, whose weights are those that they compute with.

    Args:
        model: A model that `tfprune.quantize_aware` made, trained.
        keep_ranges: Whether activations are rounded in the copy, too.

    Returns:
        A model that predicts the same, but for the activations where they are not rounded.
    """
    wrappers = pruned_layers(model)
    tell_shortfall(wrappers, "Train it longer, or have the schedule end earlier.")
    # Adding 0.0 turns -0.0, which 0 * negative is, into 0.0.
    values = ByIdentity(
        (own.weight, own.masked_value() + 0.0) for layer in wrappers for own in layer.pruned
    )
    return rebuild(model, lambda _, copy: copy, substitutes=values, keep_ranges=keep_ranges)


def runs_eagerly() -> bool:
    """Whether variables have values here, outside of the graph of a `tf.function`."""
    import tensorflow as tf

    return bool(tf.executing_eagerly())


def constant_call(model: keras.Model) -> Callable[..., object]:
    """What a model of `tfprune.quantize_aware` computes, its rounded weights as constants.

    TensorFlow's converter does not evaluate the rounding of a large weight, and would store it, and
    multiply by it, in float32.

    Args:
        model: The model, with ranges of activations.

    Returns:
        A function of the model's inputs, for `tf.function` to trace.
    """
    plain = unmasked(model, keep_ranges=True)
    values = [(variable, host_array(variable.value)) for variable in plain.variables]

    def call(*args: Nest, **kwargs: Nest) -> Nest:
        constants = [(each, keras.ops.convert_to_tensor(value)) for each, value in values]
        with keras.StatelessScope(constants):
            return plain(*args, **kwargs)

    return call


def unrolled(model: keras.Model, signed: signature.Signature) -> keras.Model:
    """The model itself if it has no recurrent layers, else a copy that unrolls their time steps.

    The converter aborts the process when it calibrates a loop; unrolled, there is none.

    Args:
        model: A built model.
        signed: Its signature.

    Returns:
        A model with the same weights and predictions.

    Raises:
        ValueError: If a number of time steps is free, or the model cannot be copied.
    """
    rolled = [layer for layer in flatten(model) if not getattr(layer, "unroll", True)]
    if not rolled:
        return model
    for entry in signed.inputs:
        if None in entry.shape[1:]:
            raise ValueError(
                "`model` must have a fixed number of time steps, so that they can be unrolled. "
                f"Received: model={model.name!r} with the input {entry.name!r} of shape "
                f"{entry.shape[1:]}."
            )
    return _copy(model, _without_loops, f"unroll the layer {rolled[0].name!r}")


def _copy(model: keras.Model, change: Callable[[object], object], demand: str) -> keras.Model:
    try:
        config = change(keras.saving.serialize_keras_object(model))
        copy = keras.saving.deserialize_keras_object(config, safe_mode=False)
        copy.set_weights(model.get_weights())
    except Exception as error:  # user code runs here: from_config may raise anything
        raise ValueError(
            f"`model` must {demand} or be serializable, so that a copy can be made that does. "
            f"Received: model={model.name!r} ({error})."
        ) from error
    return copy


def _in_float32(config: object) -> object:
    """A serialized object with every dtype policy in it replaced by float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {**config["config"], "name": "float32"}}
        return {key: _in_float32(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_in_float32(value) for value in config)
    return config


def _without_loops(config: object) -> object:
    """A serialized object in which every recurrent layer unrolls."""
    if isinstance(config, dict):
        return {k: True if k == "unroll" else _without_loops(v) for k, v in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_without_loops(value) for value in config)
    return config
