"""Saving a pruned subclassed model.

Keras reads a subclassed model back by calling its constructor, which makes plain layers. So a
pruned subclassed model is given a subclass of its own class, whose config adds which layers are
wrapped and how they are pruned; reading that config back wraps them again.
"""

from typing import Any

import keras

_PACKAGE, _NAME = "tfprune", "PrunedModel"


def mark_pruned(model: keras.Model, plain: dict[str, Any], recipe: list[Any]) -> None:
    """Give the model a subclass of its class that saves `plain` and `recipe` as its config.

    Args:
        model: subclassed model whose layers have been wrapped in place.
        plain: `keras.saving.serialize_keras_object` of the model before it was wrapped.
        recipe: one entry a unit of the model, in order: the `PrunedLayer` arguments, or None.
    """
    model.__class__ = _pruned_class(type(model))
    object.__setattr__(model, "_tfprune_config", {"model": plain, "recipe": recipe})


def is_pruned_class(model: keras.Model) -> bool:
    """Return whether `mark_pruned` has been called on the model."""
    return "_tfprune_config" in vars(model)


def plain_config(model: keras.Model) -> dict[str, Any]:
    """Return the serialized model as it was before it was wrapped."""
    return vars(model)["_tfprune_config"]["model"]


def _from_config(cls: type, config: dict[str, Any]) -> keras.Model:
    from tfprune.pruning.prune_model import wrap_by_recipe

    return wrap_by_recipe(
        keras.saving.deserialize_keras_object(config["model"]),
        keras.saving.deserialize_keras_object(config["recipe"]),
    )


@keras.saving.register_keras_serializable(_PACKAGE, _NAME)
class _SavedPrunedModel(keras.Model):
    """The name under which pruned subclassed models are found when they are read back."""

    from_config: Any = classmethod(_from_config)


_CLASSES: dict[type, type] = {}


def _pruned_class(original: type) -> type:
    if original not in _CLASSES:
        pruned = type(
            f"Pruned{original.__name__}",
            (original,),
            {
                "__doc__": f"{original.__name__} with pruned layers.",
                "__module__": __name__,
                "get_config": lambda self: vars(self)["_tfprune_config"],
                "get_build_config": lambda self: None,  # the plain model's config has its own
                "from_config": classmethod(_from_config),
            },
        )
        # All of them are written under one name; any of them reads the config of every other.
        _CLASSES[original] = keras.saving.register_keras_serializable(_PACKAGE, _NAME)(pruned)
    return _CLASSES[original]
