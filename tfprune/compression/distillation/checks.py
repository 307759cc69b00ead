"""Arguments of `distill`, checked before anything is made of them."""

from collections.abc import Sequence
from typing import Any, get_args

import keras

from tfprune.compression.distillation.outputs import Compare
from tfprune.keras_graph.calls import graph_of


def pairs_of(
    name: str, pairs: Any, student: keras.Model, teacher: keras.Model
) -> tuple[tuple[str, str], ...]:
    """Return the pairs once both layers of each are there and see the same places."""
    if isinstance(pairs, str) or not isinstance(pairs, Sequence):
        raise TypeError(
            f"`{name}` must be a list of (student's layer, teacher's layer). Received: {pairs!r}."
        )
    for pair in pairs:
        if not (isinstance(pair, Sequence) and len(pair) == 2 and not isinstance(pair, str)):
            raise TypeError(
                f"`{name}` must have pairs (student's layer, teacher's layer). Received: {pair!r}."
            )
        shapes = []
        for model, layer in zip((student, teacher), pair):
            if graph_of(model) is None:
                raise ValueError(
                    f"`{name}` needs Sequential or Functional models, whose graphs show what "
                    f"layers make. Received: {pair!r} for model '{model.name}' "
                    f"(of type {type(model).__name__})."
                )
            known = [found.name for found in model.layers]
            if layer not in known:
                raise ValueError(
                    f"`{name}` must name layers of both models. Received: {layer!r}, which is no "
                    f"layer of '{model.name}'; it has {', '.join(known[:8])}."
                )
            made = model.get_layer(layer).output
            if not isinstance(made, keras.KerasTensor):
                raise ValueError(
                    f"`{name}` must name layers with one output. Received: {layer!r} of "
                    f"'{model.name}', which has several."
                )
            shapes.append(tuple(made.shape))
        if len(shapes[0]) != len(shapes[1]) or shapes[0][1:-1] != shapes[1][1:-1]:
            raise ValueError(
                f"`{name}` must pair layers whose outputs differ in their last axis at most. "
                f"Received: {pair!r}, of shapes {shapes[0]} and {shapes[1]}."
            )
    return tuple((str(mine), str(own)) for mine, own in pairs)


def compared_as(
    compare: Any, student: keras.Model
) -> Compare | tuple[Compare | None, ...] | None:
    """Return what outputs are said to be, once it is something that they can be."""
    several = isinstance(compare, Sequence) and not isinstance(compare, str)
    known, count = get_args(Compare), len(getattr(student, "outputs", None) or ())
    given = compare if several else [compare]
    if any(each is not None and each not in known for each in given):
        raise ValueError(
            '`compare` must be "classes", "labels", "values" or None, or a list of them. '
            f"Received: {compare!r}."
        )
    if several and count and len(given) != count:
        raise ValueError(
            f"`compare` must have one entry for each of the {count} outputs. Received: {compare!r}."
        )
    return tuple(given) if several else compare


def require_alike(student: keras.Model, teacher: keras.Model) -> None:
    """Raise ValueError where both models have graphs that take or return other shapes."""
    for side in ("inputs", "outputs"):
        shapes = [
            [tuple(tensor.shape)[1:] for tensor in getattr(model, side, None) or ()]
            for model in (student, teacher)
        ]
        if all(shapes) and shapes[0] != shapes[1]:
            raise ValueError(
                f"`teacher` must have the {side} of the student. Received: {side} of shapes "
                f"{shapes[1]} and {shapes[0]}."
            )
