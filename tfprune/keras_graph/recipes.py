"""What a pruned subclassed model remembers of itself: its plain config, and how it was wrapped.

Keras reads a subclassed model back by calling its constructor, which makes plain layers. So both
are kept on the model; `tfprune.pruning.saving` writes them and wraps the layers anew.
"""

import keras

from tfprune.support.configurable import Config

_ATTRIBUTE = "_tfprune_config"


def remember(model: keras.Model, plain: Config, recipe: list[Config | None]) -> None:
    """Keep the serialized plain model, and the `PrunedLayer` arguments of each of its layers."""
    object.__setattr__(model, _ATTRIBUTE, {"model": plain, "recipe": recipe})


def remembered(model: keras.Model) -> Config:
    """Return what `remember` kept: "model" and "recipe"."""
    return vars(model)[_ATTRIBUTE]


def is_pruned_class(model: keras.Model) -> bool:
    """Return whether the model is a subclassed one whose layers are wrapped."""
    return _ATTRIBUTE in vars(model)


def plain_config(model: keras.Model) -> Config:
    """Return the serialized model as it was before it was wrapped."""
    return remembered(model)["model"]
