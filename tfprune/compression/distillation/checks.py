"""Arguments of `distill`, checked before anything is made of them."""

from collections.abc import Sequence
from typing import Any, get_args

import keras

from tfprune.compression.distillation.inside import made_by
from tfprune.compression.distillation.outputs import Compare

Pair = tuple[keras.KerasTensor, keras.KerasTensor]  # of the student, of the teacher


def pairs_of(
    name: str, pairs: Any, student: keras.Model, teacher: keras.Model
) -> tuple[Pair, ...]:
    """Return what both layers of each pair make, once they are there and see the same places.

    Args:
        name: of the option, "hints" or "attention".
        pairs: (student's layer, teacher's layer), by name.
        student: built.
        teacher: built.

    Raises:
        TypeError: if these are no pairs.
        ValueError: if a layer is not called once (see `made_by`), the places of a pair differ, or
            attention is wanted where there is one place at most.
    """
    if isinstance(pairs, str) or not isinstance(pairs, Sequence):
        raise TypeError(
            f"`{name}` must be a list of (student's layer, teacher's layer). Received: {pairs!r}."
        )
    found = []
    for pair in pairs:
        if not (isinstance(pair, Sequence) and len(pair) == 2 and not isinstance(pair, str)):
            raise TypeError(
                f"`{name}` must have pairs (student's layer, teacher's layer). Received: {pair!r}."
            )
        mine, own = made_by(name, student, pair[0]), made_by(name, teacher, pair[1])
        shapes = [tuple(made.shape) for made in (mine, own)]
        if len(shapes[0]) != len(shapes[1]) or shapes[0][1:-1] != shapes[1][1:-1]:
            raise ValueError(
                f"`{name}` must pair layers whose outputs differ in their last axis at most. "
                f"Received: {pair!r}, of shapes {shapes[0]} and {shapes[1]}."
            )
        # The map of one place is 1 whatever is there.
        if name == "attention" and all(size == 1 for size in shapes[0][1:-1]):
            raise ValueError(
                "`attention` must name layers with places, such as convolutions; use `hints` for "
                f"others. Received: {pair!r}, of shapes {shapes[0]} and {shapes[1]}."
            )
        found.append((mine, own))
    return tuple(found)


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
