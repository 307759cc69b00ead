"""Other transforms of weights that do not see masks: refused, with what to do instead."""

from collections.abc import Callable

import keras

from tfprune.layer_classes.prunable import flatten, prunable_weights

_REMEDIES = {
    "quantize": "strip the model first (tfprune.strip_pruning), then quantize it",
    "enable_lora": "strip the model first (tfprune.strip_pruning), then call enable_lora",
}


def refuse_transforms(layer: keras.layers.Layer) -> None:
    """Make `quantize` and `enable_lora` of a pruned layer raise: they would take hidden weights.

    Both replace the stored weight by others computed from it, in which masked entries count.

    Args:
        layer: built; all in it that has prunable weights is changed, and copies are not.

    Example:
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> refuse_transforms(layer)
        >>> layer.quantize("int8")
        Traceback (most recent call last):
        ValueError: `quantize` must not be called on the pruned layer 'dense...': strip ...
    """
    for part in flatten(layer):
        if prunable_weights(part):
            for name in _REMEDIES:
                if hasattr(part, name):
                    object.__setattr__(part, name, _refusal(part.name, name))


def refuse_averages(model: keras.Model) -> None:
    """Make `compile` refuse optimizers that average weights (`use_ema=True`).

    Averages are taken before constraints are applied, and would bring back values where zeros are
    kept. For a model whose zeros are kept by constraints.

    Args:
        model: plain model; it is changed, and copies of it are not.
    """
    compile_model = model.compile

    def compile(
        optimizer: str | keras.optimizers.Optimizer = "rmsprop", *args: object, **kwargs: object
    ) -> None:
        if getattr(keras.optimizers.get(optimizer), "use_ema", False):
            raise ValueError(
                "`optimizer` must not average weights (use_ema=True) where strip_pruning kept the "
                "zeros by constraints: the averages have none. Train the pruned model, whose masks "
                "hold for averages too, and strip it afterwards. "
                f"Received: optimizer={optimizer!r}."
            )
        compile_model(optimizer, *args, **kwargs)

    object.__setattr__(model, "compile", compile)


def _refusal(layer: str, name: str) -> Callable[..., None]:
    def refuse(*args: object, **kwargs: object) -> None:
        raise ValueError(
            f"`{name}` must not be called on the pruned layer '{layer}': {_REMEDIES[name]}. "
            f"Received: {name}{args}."
        )

    return refuse
