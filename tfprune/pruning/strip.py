"""strip_pruning: from a pruned model back to a plain one, with the zeros in its weights."""

import keras

from tfprune.keras_graph.rebuilding import rebuild, units
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.wrapping.keep_zeros import keep_zeros_of
from tfprune.wrapping.other_transforms import refuse_averages
from tfprune.wrapping.pruned_layer import pruned_layers


def strip_pruning(model: keras.Model, *, keep_masks: bool = False) -> keras.Model:
    """Return a plain Keras model with exact zeros where the masks are, of the same class and names.

    Args:
        model: a model with `PrunedLayer`s, from `tfprune.prune` or built with them.
        keep_masks: keep the zeros in further training: every pruned weight gets a constraint that
            sets them again after each optimizer step. The constraint is not saved with the model.

    Returns:
        A model that shares nothing with `model` and needs no tfprune to be loaded. Compile it again
        to train or evaluate it.

    Raises:
        TypeError: if `model` is not a `keras.Model`.
        ValueError: if it has no `PrunedLayer` or cannot be copied.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> plain = strip_pruning(tfprune.prune(model, tfprune.OneShot(0.5)))
        >>> [type(layer).__name__ for layer in plain.layers]
        ['Dense']
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a keras.Model. "
            f"Received: model={model!r} (of type {type(model).__name__})."
        )
    wrappers = pruned_layers(model)
    if not wrappers:
        raise ValueError(f"Model '{model.name}' has no pruned layers: it is plain already.")
    owned = {id(own.weight): own for wrapper in wrappers for own in wrapper.pruned}
    # 0 * negative is -0.0, which compresses worse than 0.0; adding 0.0 turns it into 0.0.
    masked = {key: own.masked_value() + 0.0 for key, own in owned.items()}
    stripped = rebuild(model, lambda layer, copy: copy, substitutes=masked)
    if keep_masks:
        for unit in units(stripped):
            for weight in prunable_weights(unit):
                keep_zeros_of(weight)
        refuse_averages(stripped)
    return stripped
