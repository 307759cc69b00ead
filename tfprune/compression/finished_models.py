"""Models whose masks are final: what a method starts from that decides on values for good."""

from collections.abc import Sequence

import keras
import numpy as np

from tfprune.pruning.strip import strip_pruning
from tfprune.support.arrays import host_array
from tfprune.support.validation import require_model
from tfprune.wrapping.pruned_layer import PrunedLayer, pruned_layers


def finished(value: object, before: str) -> keras.Model:
    """Return a built model as it is, a pruned one without its masks, which must be final.

    Args:
        value: argument `model`.
        before: what is to be done, for messages, as "its weights are clustered".

    Raises:
        TypeError: if it is no `keras.Model`.
        ValueError: if it is not built, has other methods at work, or mask updates to come.
    """
    model = require_model("model", value, built=False)
    wrappers = pruned_layers(model)
    if not model.built or not all(layer.built for layer in wrappers):
        raise ValueError(
            f"Model '{model.name}' must be built: give it a keras.Input, or call it on a batch."
        )
    busy = [f"{layer.name}: {layer.quantizer}" for layer in wrappers if layer.quantizer]
    if busy:
        raise ValueError(
            f"Model '{model.name}' trains with rounded or shared weights already: call "
            f"tfprune.strip_pruning(model) before {before}. Received: {busy[0]}."
        )
    for layer in wrappers:
        step = int(host_array(layer.pruning_step.value))
        if any(own.schedule.next_update(step) is not None for own in layer.pruned):
            raise ValueError(
                f"A pruned model must have been pruned to the end before {before}: train it on. "
                f"Received: layer '{layer.name}' at step {step}, with mask updates to come."
            )
    return strip_pruning(model, compile=False) if wrappers else model


def mask_of_zeros(value: np.ndarray) -> np.ndarray | None:
    """Return the mask that keeps the zeros of a weight zero; None if it has none, or nothing else.

    Args:
        value: of the weight.

    Example:
        >>> mask_of_zeros(np.array([1.0, 0.0])), mask_of_zeros(np.zeros(2))
        (array([ True, False]), None)
    """
    mask = value != 0
    return mask if mask.any() and not mask.all() else None


def fix_masks(layer: PrunedLayer, masks: Sequence[np.ndarray]) -> None:
    """Give the weights of a wrapped layer their masks for good: it trains without a callback.

    Args:
        layer: with a schedule that is complete at step 0.
        masks: of each pruned weight, boolean, True = kept.
    """
    for own, mask in zip(layer.pruned, masks, strict=True):
        own.mask.assign(mask)
    layer.pruning_step.assign(0)
