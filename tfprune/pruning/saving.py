"""Saving a pruned subclassed model.

Keras reads a subclassed model back by calling its constructor, which makes plain layers. So a
pruned subclassed model is given a subclass of its own class, whose config adds which layers are
wrapped and how they are pruned; reading that config back wraps them again.
"""

from collections.abc import Collection
from typing import Any

import keras

from tfprune.keras_graph.insertion import Insertion
from tfprune.keras_graph.rebuilding import outer_layers, rebuild, uncompiled
from tfprune.keras_graph.recipes import is_pruned_class, plain_config, remember, remembered
from tfprune.layer_classes.summaries import leave_out_added
from tfprune.support.configurable import Config
from tfprune.wrapping.pruned_layer import PrunedLayer, pruned_layers
from tfprune.wrapping.ranges.ranged_layer import RangedLayer
from tfprune.wrapping.shortfall import notice_of

_PACKAGE, _NAME = "tfprune", "PrunedModel"


def wrap_by_recipe(
    model: keras.Model,
    recipe: list[Config | None],
    *,
    ranged: Collection[keras.layers.Layer] = (),
    insertion: Insertion | None = None,
) -> keras.Model:
    """Return a copy of the model with layers wrapped as a list of arguments says.

    Args:
        model: built model; `PrunedLayer`s in it are replaced.
        recipe: for each of `outer_layers(model)`, the keyword arguments of its `PrunedLayer`, or
            None to leave it as it is.
        ranged: layers, as they are without wrappers, that get ranges of activations inside.
        insertion: what is put between the layers.

    Returns:
        The pruned model.
    """
    options_of = dict(zip(outer_layers(model), recipe))

    def wrap(layer: keras.layers.Layer, copy: keras.layers.Layer) -> keras.layers.Layer:
        options = options_of.get(layer)
        inner = layer.layer if isinstance(layer, PrunedLayer) else layer
        copy = RangedLayer(copy) if inner in ranged else copy
        return copy if options is None else PrunedLayer(copy, **options)

    def note(original: keras.Model, copy: keras.Model) -> None:
        with uncompiled(original):
            plain = (
                plain_config(original)
                if is_pruned_class(original)
                else keras.saving.serialize_keras_object(original)
            )
        mark_pruned(copy, plain, [options_of[layer] for layer in outer_layers(original)])

    pruned = rebuild(model, wrap, on_subclassed=note, insertion=insertion)
    layers = pruned_layers(pruned)
    if layers:
        notice_of(layers)  # so that one that is saved speaks for all
        leave_out_added(pruned)
    return pruned


def mark_pruned(model: keras.Model, plain: Config, recipe: list[Config | None]) -> None:
    """Give the model a subclass of its class that saves `plain` and `recipe` as its config.

    Args:
        model: subclassed model whose layers have been wrapped in place.
        plain: `keras.saving.serialize_keras_object` of the model before it was wrapped.
        recipe: one entry an outer layer of the model, in order: the arguments of its
            `PrunedLayer`, or None.
    """
    model.__class__ = _pruned_class(type(model))
    remember(model, plain, recipe)


def _from_config(cls: type, config: Config) -> keras.Model:
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
                "get_config": remembered,
                "get_build_config": lambda self: None,  # the plain model's config has its own
                "from_config": classmethod(_from_config),
            },
        )
        # All of them are written under one name; any of them reads the config of every other.
        _CLASSES[original] = keras.saving.register_keras_serializable(_PACKAGE, _NAME)(pruned)
    return _CLASSES[original]
