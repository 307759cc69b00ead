"""Copies of layers: from their configs, with their functions, classes, values and vocabularies.

A config names classes and functions; Keras finds them by these names among what is registered. So
that any model that plain Keras runs can be copied, the names are looked up among the model's own
classes and functions first.
"""

import contextlib
import inspect
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import NoReturn

import keras

from tfprune.keras_graph.private_keras import (
    output_shape_of,
    scoped_objects,
    set_path,
    structures_of,
)
from tfprune.keras_graph.sublayers import has_own_call, keras_class_of
from tfprune.layer_classes.prunable import flatten, prunable_weights
from tfprune.support.arrays import assign_copy
from tfprune.support.by_identity import each_once
from tfprune.support.configurable import Config
from tfprune.support.tensors import Tensor


def custom_classes(model: keras.Model) -> dict[str, type]:
    """Return name -> class of all that the model is made of and that Keras does not know itself."""
    return {
        ancestor.__name__: ancestor
        for layer in flatten(model)
        for ancestor in type(layer).__mro__
        if not ancestor.__module__.startswith(("keras.", "tfprune.", "builtins"))
    }


def also_known(objects: Mapping[str, object]) -> contextlib.AbstractContextManager[object]:
    """Let Keras find these objects by name, beside those of the scope that the user is in.

    `keras.saving.custom_object_scope` hides the scope around it.

    Example:
        >>> class Mine(keras.layers.Layer): pass
        >>> with keras.saving.custom_object_scope({"Mine": Mine}), also_known({"Other": Mine}):
        ...     keras.saving.get_registered_object("Mine") is Mine
        True
    """
    return keras.saving.custom_object_scope({**scoped_objects(), **objects})


ChangeConfig = Callable[[keras.layers.Layer, Config], None]
"""Write into the config of a layer what is to be other than in the original."""


def copy_layer(
    layer: keras.layers.Layer, change: ChangeConfig = lambda layer, config: None
) -> keras.layers.Layer:
    """Return a layer made from the config of this one, with the same functions; not built.

    Args:
        layer: any layer; of a `keras.ops` operation in a graph, too.
        change: called with the layer and its config before the copy is made.

    Raises:
        ValueError: if it cannot be made from its config; the message says what to add.

    Example:
        >>> twice = keras.layers.Dense(2, activation=lambda x: 2 * x)
        >>> copy_layer(twice).activation is twice.activation
        True
    """
    with explaining(layer):
        if type(layer) is keras.layers.Lambda:
            # Its function is at hand; Keras refuses to read a Python lambda from a config.
            return keras.layers.Lambda(
                layer.function,
                output_shape=output_shape_of(layer),
                mask=layer.mask,
                arguments=layer.arguments,
                name=layer.name,
                dtype=layer.dtype_policy,
                trainable=layer.trainable,
            )
        with _functions_by_name(layer) as functions:
            config = _config_of(layer)
            change(layer, config)
            with also_known(functions):
                return type(layer).from_config(config)


def _config_of(layer: keras.layers.Layer) -> Config:
    """Return the config of a layer; of an operation with arrays its arguments as they are."""
    try:
        return layer.get_config()
    except NotImplementedError:
        if isinstance(layer, keras.layers.Layer):
            raise
        # Keras writes no arrays, such as the bounds of `clip`; operations keep what they are given.
        names = list(inspect.signature(type(layer).__init__).parameters)[1:]
        return {name: getattr(layer, name) for name in names}


def copy_values(
    source: keras.layers.Layer,
    twin: keras.layers.Layer,
    pairs: list[tuple[keras.Variable, keras.Variable]],
    values: Callable[[keras.Variable], Tensor],
) -> None:
    """Give a copy what the original holds: values, paths, and what is derived or kept beside them.

    Args:
        source: the original.
        twin: its copy, built.
        pairs: each variable with its copy.
        values: variable of the original -> value for its copy.
    """
    for variable, new in pairs:
        # Layers that a subclassed model names by a count get other names in a copy.
        set_path(new, variable.path)
        assign_copy(new, values(variable))
        new.trainable = variable.trainable
    for part, twin_part in zip(flatten(source), flatten(twin)):
        if _derives_state(part):
            store: dict[str, keras.Variable] = {}
            part.save_own_variables(store)
            twin_part.load_own_variables({key: value.numpy() for key, value in store.items()})
        if _keeps_assets(part):
            with tempfile.TemporaryDirectory() as folder:
                part.save_assets(folder)
                twin_part.load_assets(folder)


def in_order_of(wanted: list[keras.Variable], got: list[keras.Variable]) -> list[keras.Variable]:
    """Return variables in the order of others of the same names, where each name is there once.

    A layer of Keras quantized to float8 makes them in another order than its copy.
    """
    by_name = {variable.name: variable for variable in got}
    names = [variable.name for variable in wanted]
    alike = len(by_name) == len(got) == len(names) and by_name.keys() == set(names)
    return [by_name[name] for name in names] if alike else got


def frozen_like(model: keras.Model, copy: keras.Model) -> keras.Model:
    """Return the copy of a model, frozen if the model is: the config of a model does not say it."""
    if not model.trainable:
        copy.trainable = False
    return copy


def in_class_of(model: keras.Model, copy: keras.Model) -> keras.Model:
    """Return the copy of a graph model in the model's class, which its own `call` needs.

    A class that builds its graph when made has a copy of Keras's class, with a warning.

    Args:
        model: Sequential or Functional.
        copy: of its graph, in its class or in that of Keras.

    Raises:
        ValueError: if the copy would lose what the `call` of the class computes.
    """
    copy = with_own_call(model, copy)
    plain = getattr(type(model), "plain_class", type(model))
    copy.__class__ = plain if type(copy) is type(model) else type(copy)
    if type(copy) is not plain:
        warnings.warn(
            f"Model '{model.name}' of class {plain.__name__} builds its graph when made: "
            f"its copy is a {type(copy).__name__} of this graph, without that class's methods.",
            stacklevel=3,
        )
    return copy


def with_own_call(model: keras.Model, copy: keras.Model) -> keras.Model:
    """Return the copy of a graph model in the model's class if that has its own `call`.

    Raises:
        ValueError: if it has, and takes more than a graph.
    """
    if not has_own_call(model):
        return copy
    kind = type(model)
    inside = each_once(weight for layer in model.layers for weight in layer.weights)
    beside = [weight.path for weight in model.weights if weight not in inside]
    if type(copy) is not kind and not beside:
        copy = _made_of(kind, copy)
    if type(copy) is not kind or beside:
        raise ValueError(
            f"'{model.name}' of class {kind.__name__} cannot be copied with its own `call`: "
            "the class must be made of its inputs and outputs alone, and have no weights "
            f"beside its graph. Received: a constructor {inspect.signature(kind)}, and "
            f"weights {beside} beside the graph."
        )
    return copy


def _made_of(kind: type, copy: keras.Model) -> keras.Model:
    """Return the graph of a copy in another class, as it is if that takes more than a graph."""
    if kind.__init__ is keras_class_of(copy).__init__:  # type: ignore[misc]
        copy.__class__ = kind
        return copy
    names = inspect.getfullargspec(kind.__init__).args[1:]  # type: ignore[misc]
    if isinstance(copy, keras.Sequential) or names[:2] != ["inputs", "outputs"]:
        return copy
    if not {*names[2:]} <= {"name", "trainable"}:
        return copy
    made: keras.Model = kind(*structures_of(copy))
    made.name = copy.name
    return made


@contextlib.contextmanager
def explaining(layer: keras.layers.Layer) -> Iterator[None]:
    """Turn what a failed copy raises into one error that says what to add to the class."""
    try:
        yield
    except (NotImplementedError, TypeError, ValueError, AttributeError, LookupError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(
            "Layers and models must have a `get_config` that returns every constructor argument, "
            "and a `from_config` where they have to be rebuilt. Received: "
            f"'{layer.name}' of class {type(layer).__name__}, which cannot be copied ({reason})."
        ) from error


@contextlib.contextmanager
def _functions_by_name(layer: keras.layers.Layer) -> Iterator[Mapping[str, object]]:
    """Put named stand-ins in the places of plain functions; yield name -> function.

    Keras writes a function's name into a config, a lambda's code, and nothing for other callables.
    The stand-ins are there while the config is taken only.
    """
    found: dict[str, object] = {}
    places: list[tuple[keras.layers.Layer, str, object]] = []
    for part in _holders(layer):
        for attribute, value in list(vars(part).items()):
            if attribute not in _layer_attributes() and _is_plain_function(value):
                places.append((part, attribute, value))
    try:
        for number, (part, attribute, value) in enumerate(places):
            name = f"tfprune_function_{number}"
            found[name] = value
            object.__setattr__(part, attribute, _stand_in(name))
        yield found
    finally:
        for part, attribute, value in places:
            object.__setattr__(part, attribute, value)


def _holders(layer: object) -> list[keras.layers.Layer]:
    return flatten(layer) if isinstance(layer, keras.layers.Layer) else []


def _stand_in(name: str) -> Callable[..., NoReturn]:
    def function(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError(f"{name} stands for a function while a config is taken")

    function.__name__ = name
    return function


@cache
def _layer_attributes() -> frozenset[str]:
    """Attributes that Keras itself keeps on every layer, wrapped methods among them."""
    return frozenset(vars(keras.layers.Layer())) | {"call", "build", "quantize"}


def _is_plain_function(value: object) -> bool:
    """Whether this is a callable that a config cannot name: no class or registered object."""
    if not callable(value) or isinstance(value, type | keras.layers.Layer | keras.Variable):
        return False
    if hasattr(value, "get_config") or inspect.ismethod(value) or inspect.isbuiltin(value):
        return False
    if str(getattr(value, "__module__", "")).startswith("keras."):
        return False
    name = getattr(value, "__name__", None)
    return name is None or keras.saving.get_registered_name(value) == name


def _derives_state(layer: keras.layers.Layer) -> bool:
    """Whether the layer computes something from its variables when they are loaded.

    `Normalization` does. The layers of the table override the method for quantized weights only.
    """
    loads = type(layer).load_own_variables is not keras.layers.Layer.load_own_variables
    return loads and not prunable_weights(layer)


def _keeps_assets(layer: keras.layers.Layer) -> bool:
    """Whether the layer keeps something beside its variables, such as an adapted vocabulary."""
    return hasattr(layer, "save_assets") and hasattr(layer, "load_assets")
