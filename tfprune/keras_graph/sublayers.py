"""Layers in the attributes of a layer or model: finding them, and putting another in place."""

from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Any

import keras

from tfprune.keras_graph.private_keras import functional_class, replaced_sublayer

Path = tuple[str, *tuple[object, ...]]  # an attribute, then indices and keys


def is_graph(model: object) -> bool:
    """Return whether the model is Sequential or Functional, so that its graph can be cloned.

    With a `call` of its own, the graph does not show what it computes: see `has_own_call`.
    """
    return isinstance(model, keras.Sequential | functional_class())


def has_own_call(model: keras.Model) -> bool:
    """Return whether a class of the user's says what a graph model computes, not its graph.

    Example:
        >>> class Doubled(keras.Sequential):
        ...     def call(self, inputs, training=None, mask=None): return 2 * super().call(inputs)
        >>> has_own_call(Doubled()), has_own_call(keras.Sequential())
        (True, False)
    """
    plain = keras_class_of(model)
    return any(getattr(type(model), n) is not getattr(plain, n) for n in ("call", "__call__"))


def keras_class_of(model: keras.Model) -> type:
    """Return the class of Keras that a graph model is of: Sequential or Functional."""
    return keras.Sequential if isinstance(model, keras.Sequential) else functional_class()


@cache
def _keras_attributes() -> frozenset[str]:
    """Attributes that Keras itself keeps on every model, `_layers` among them."""
    return frozenset(vars(keras.Model())) | frozenset(vars(keras.Sequential()))


def children(owner: keras.layers.Layer) -> Iterator[tuple[Path, keras.layers.Layer]]:
    """Yield (path, layer) for layers in the attributes of `owner`, lists, tuples and dicts too."""

    def search(path: Path, value: object) -> Iterator[tuple[Path, keras.layers.Layer]]:
        if isinstance(value, keras.layers.Layer):
            yield path, value
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield from search((*path, index), item)
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from search((*path, key), item)

    for name, value in list(vars(owner).items()):
        if name not in _keras_attributes():
            yield from search((name,), value)


def reach(owner: keras.layers.Layer, path: Path) -> keras.layers.Layer:
    """Return what `children` found at `path`.

    Raises:
        AttributeError, KeyError, IndexError: if there is nothing at this path.
    """
    value = getattr(owner, path[0])
    for key in path[1:]:
        value = value[key]
    return value


def swap_child(owner: keras.layers.Layer, old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Put `new` wherever the attributes of `owner` hold `old`, and in its list of sublayers."""

    def swapped(value: object) -> object:
        if value is old:
            return new
        if isinstance(value, dict):
            return {key: swapped(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(swapped(item) for item in value)
        return value

    if old is new:
        return
    with replaced_sublayer(owner, old, new):
        for path in {path[0] for path, child in children(owner) if child is old}:
            setattr(owner, path, swapped(getattr(owner, path)))


def unwrapped(layer: Any, wrappers: type | UnionType) -> Any:
    """Return what wrappers of these classes hold, at any depth; the layer itself if it is none."""
    while isinstance(layer, wrappers):
        layer = getattr(layer, "layer")
    return layer
