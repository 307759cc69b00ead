"""Exact rewrites of a parsed .tflite model towards XNNPACK's sparse mode.

Each computes the same function up to the rounding of float32. The mode and its conditions are
described in `tfprune.export.lint`; files keep running everywhere else.
"""

import dataclasses

from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import TYPES, Subgraph
from tfprune.export.file.tables import Model
from tfprune.export.rewrites import (
    constants,
    dilations,
    head,
    lines,
    pads,
    rotate,
    sweep,
    tensors,
    windows,
)
from tfprune.export.rewrites.lowered import entry, walk

__all__ = ["Way", "apply", "ways"]


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to rewrite a model.

    Attributes:
        rotated: Whether to rotate it by 180 degrees where that makes padding symmetric.
        block: Whether, and in which of `lowered.entry.BLOCKS`, the network is taken into the sparse
            mode operator by operator; None for rewrites of the network as it is.
        kernels: Whether to express larger and strided convolutions and maxima by sparse 1x1
            convolutions and shifts. That pays only where the sparse kernels run.
        line: Whether it is a network along one axis, and the block, one of
            `lowered.entry.LINE_BLOCKS`, of one row.
    """

    rotated: bool = True
    block: int | None = None
    kernels: bool = False
    line: bool = False


def ways(model: Model, lower_conv3x3: bool) -> tuple[Way, ...]:
    """The ways to try, of which the fastest is best: those for images, or for lines.

    Args:
        model: The model to rewrite.
        lower_conv3x3: Whether to express larger convolutions.
    """
    line = lines.has_lines(Subgraph(model, model.subgraphs[0]))
    blocks: tuple[int, ...] = entry.LINE_BLOCKS if line else entry.BLOCKS
    blocks = blocks if lower_conv3x3 else blocks[:1]
    taken = [Way(block=block, kernels=lower_conv3x3) for block in ([] if line else blocks[:2])]
    taken += [Way(rotated=False, block=block, line=line, kernels=lower_conv3x3) for block in blocks]
    return (Way(), *taken)


def apply(model: Model, way: Way = Way()) -> tuple[Model, tuple[str, ...]]:
    """Rewrite the main subgraph of a model so that more of it meets XNNPACK's sparse kernels.

    Args:
        model: A model with dense float32 weights, which stays as it is.
        way: How.

    Returns:
        The new model, and a sentence for each rewrite that was made, or that the model would need
        and cannot have; for a model without convolutions itself and no sentence.
    """
    subgraph = Subgraph(model, model.subgraphs[0])
    if not any(subgraph.code(operator) in windows.CONVOLUTIONS for operator in subgraph.operators):
        return model, ()
    reason = _obstacle(subgraph)
    if reason is not None:
        return model, (f"The operators are not rewritten: {reason}.",)
    # In order: padding depends on rotation, shifts on padding.
    model = flatbuffer.copied(model)
    subgraph = Subgraph(model, model.subgraphs[0])
    said: list[str] = []
    if way.line:
        said += [*dilations.apply(subgraph), *lines.apply(subgraph)]
    if way.rotated:
        said += rotate.apply(subgraph, grow=way.kernels)
    said += head.apply(subgraph)
    if way.block is not None:
        block = (1 if way.line else way.block, way.block)
        said += [*constants.apply(subgraph)]
        said += walk.apply(subgraph, block=block, kernels=way.kernels)
    said += [*constants.apply(subgraph), *pads.apply(subgraph)]
    sweep.apply(subgraph)
    return model, tuple(said)


def _obstacle(subgraph: Subgraph) -> str | None:
    """Why a subgraph with convolutions cannot be rewritten, if so."""
    for operator in subgraph.operators:
        kind = flatbuffer.OPERATOR_NAMES[subgraph.code(operator)]
        if subgraph.code(operator) in windows.CONVOLUTIONS:
            weight = int(operator.inputs[1])
            if subgraph.constant(weight) is None or subgraph.tensor(weight).type != TYPES.FLOAT32:
                name = tensors.describe(subgraph, operator, kind)
                return f"the weights of {name} are not dense float32 constants"
        if subgraph.code(operator) in windows.CONVOLUTIONS | windows.POOLS:
            ends = (operator.inputs[0], operator.outputs[0])
            if any(tensors.has_free_places(subgraph, index) for index in ends):
                return (
                    f"the height or width of {tensors.describe(subgraph, operator, kind)} is free"
                )
    return None
