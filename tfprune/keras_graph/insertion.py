"""Cloning a graph with layers put in between its calls, or with such layers left out."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import keras

from tfprune.keras_graph.private_keras import Node, call_behind, calls_of, functional_of
from tfprune.support.tensors import Nest

Place = Callable[[keras.layers.Layer], keras.layers.Layer]


class Insertion(Protocol):
    """What is put between the calls of the graphs of a model."""

    def after_input(self, model: keras.Model, index: int) -> keras.layers.Layer | None:
        """Return what an input of this model goes through first, None for nothing."""

    def after(self, model: keras.Model, node: Node) -> Sequence[keras.layers.Layer | None]:
        """Return what each output of a call in this model goes through, None for nothing."""


def cloned_with(
    model: keras.Model, place: Place, insertion: Insertion | None, *, drop: type
) -> keras.Model:
    """Return a clone of a built Sequential or Functional model with layers inserted or left out.

    Args:
        model: what to clone.
        place: layer -> what stands for it.
        insertion: what is put in between; None for nothing.
        drop: class of layers that are left out: their input stands for their output.
    """
    if isinstance(model, keras.Sequential):
        return _sequential(model, place, insertion, drop)
    nodes = (node for node in calls_of(model) if not node.is_input)
    places = {tensor: index for index, tensor in enumerate(model.inputs)}
    entered: dict[object, object] = {}

    def enter(node: Node, args: Any, kwargs: Any) -> Any:
        """Return arguments in which inputs of the model have gone through what follows them."""
        if insertion is None:
            return args, kwargs
        given = [item for item in keras.tree.flatten((args, kwargs)) if _is_symbolic(item)]
        for old, new in zip(node.input_tensors, given, strict=True):
            if old in places and new not in entered:
                first = insertion.after_input(model, places[old])
                entered[new] = new if first is None else first(new)
        return keras.tree.map_structure(
            lambda item: entered.get(item, item) if _is_symbolic(item) else item, (args, kwargs)
        )

    def call(operation: keras.layers.Layer, *args: Nest, **kwargs: Nest) -> Nest:
        node = next(nodes)
        if isinstance(operation, drop):
            return args[0]
        args, kwargs = enter(node, args, kwargs)
        outputs = operation(*args, **kwargs)
        if insertion is None:
            return outputs
        flat = _through(keras.tree.flatten(outputs), insertion.after(model, node))
        return keras.tree.pack_sequence_as(outputs, list(flat))

    return keras.models.clone_model(model, clone_function=place, call_function=call)


def _through(
    tensors: Sequence[object], following: Sequence[keras.layers.Layer | None]
) -> Iterator[object]:
    for tensor, layer in zip(tensors, following, strict=True):
        yield tensor if layer is None else layer(tensor)


def _is_symbolic(item: object) -> bool:
    return isinstance(item, keras.KerasTensor)


def _sequential(
    model: keras.Sequential, place: Place, insertion: Insertion | None, drop: type
) -> keras.Model:
    functional = functional_of(model)
    tensor = model.inputs[0]
    name = call_behind(tensor)[0].operation.name
    first = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
    members: list[object] = [first]
    if insertion is not None:
        members.append(insertion.after_input(model, 0))
    for node in calls_of(functional):
        if node.is_input or isinstance(node.operation, drop):
            continue
        members.append(place(node.operation))
        if insertion is not None:
            members += insertion.after(model, node)
    kept = [member for member in members if member is not None]
    return keras.Sequential(kept, name=model.name, trainable=model.trainable)


def by_place(model: keras.Model, path: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield (names of the nested models and its own, layer) for the layers of a graph model."""
    for layer in model.layers:
        name = f"{path}/{layer.name}"
        if isinstance(layer, keras.Model):
            yield from by_place(layer, name)
        else:
            yield name, layer
