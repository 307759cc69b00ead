"""Arguments of `distill`, checked before anything is made of them."""

from collections.abc import Sequence
from typing import Any, get_args

import keras

from tfprune.compression.distillation.inside import Pair, made_by, shape_of
from tfprune.compression.distillation.outputs import Compare
from tfprune.compression.distillation.structures import order_of
from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.private_keras import structures_of


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
        ValueError: if a layer is not called once (see `made_by`), the places of a pair differ, the
            width of one layer of a hint is not known, or attention is wanted where there is one
            place at most.
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
        shapes = [shape_of(made) for made in (mine, own)]
        if not _alike(shapes[0][:-1], shapes[1][:-1]):
            raise ValueError(
                f"`{name}` must pair layers whose outputs differ in their channels at most. "
                f"Received: {pair!r}, of shapes {tuple(mine.shape)} and {tuple(own.shape)}."
            )
        widths = [shape[-1] for shape in shapes]
        if name == "hints" and None in widths and widths[0] != widths[1]:
            raise ValueError(
                "`hints` must pair layers whose widths are known, or neither is. "
                f"Received: {pair!r}, of shapes {tuple(mine.shape)} and {tuple(own.shape)}."
            )
        # The map of one place is 1 whatever is there.
        if name == "attention" and all(1 in sizes for sizes in zip(*(s[1:-1] for s in shapes))):
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
    """Raise ValueError where both models have graphs that take or return other shapes or names.

    A size that one of them leaves open, None, goes with any.
    """
    for side in ("inputs", "outputs"):
        first, second = ([*(getattr(model, side, None) or ())] for model in (student, teacher))
        graphs = graph_of(student), graph_of(teacher)
        if side == "outputs" and graphs[0] is not None and graphs[1] is not None:
            made = [structures_of(graph)[1] for graph in graphs if graph is not None]
            order = order_of(*made, *(graph.output_names for graph in graphs if graph is not None))
            second = [second[at] for at in order]
        shapes = [[tuple(tensor.shape)[1:] for tensor in tensors] for tensors in (first, second)]
        matching = len(first) == len(second) and all(map(_alike, *shapes))
        if first and second and not matching:
            raise ValueError(
                f"`teacher` must have the {side} of the student. Received: {side} of shapes "
                f"{shapes[1]} and {shapes[0]}."
            )


def require_apart(student: keras.Model, teacher: keras.Model) -> None:
    """Raise ValueError where training the student would change the teacher."""
    trained = {id(variable) for variable in student.trainable_variables}
    shared = [variable.path for variable in teacher.variables if id(variable) in trained]
    if shared:
        raise ValueError(
            "`teacher` must not have weights that are trained with the student; freeze them or "
            f"take a copy, `keras.models.clone_model`. Received: {', '.join(shared[:4])} in both."
        )


def _alike(first: Sequence[int | None], second: Sequence[int | None]) -> bool:
    """Return whether two shapes may be the same, where None stands for any size."""
    return len(first) == len(second) and all(
        one == other or None in (one, other) for one, other in zip(first, second)
    )
