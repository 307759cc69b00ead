"""Exact rewrites of a parsed .tflite model towards XNNPACK's sparse mode.

Each computes the same function up to the rounding of float32. The mode and its conditions are
described in `tfprune.export.lint`; files keep running everywhere else.
"""

import copy
from typing import Any

from tfprune.export.file import flatbuffer
from tfprune.export.file.graph import TYPES, Graph
from tfprune.export.rewrites import constants, head, lowering, pads, rotate, sweep, tensors, windows

__all__ = ["apply"]


def apply(model: Any, *, lower_conv3x3: bool = False) -> tuple[str, ...]:
    """Rewrite the main graph of a model so that more of it meets XNNPACK's sparse kernels.

    Args:
        model: A `ModelT` with dense float32 weights, changed in place.
        lower_conv3x3: Whether to express larger and strided convolutions and max-pools by sparse
            1x1 convolutions and shifts. That pays only where the sparse kernels run.

    Returns:
        A sentence for each rewrite that was made, or that the model would need and cannot have.
        Empty for a model without convolutions.
    """
    graph = Graph(model, model.subgraphs[0])
    if not any(graph.code(operator) in windows.CONVOLUTIONS for operator in graph.operators):
        return ()
    reason = _obstacle(graph)
    if reason is not None:
        return (f"The graph is not rewritten: {reason}.",)
    if not lower_conv3x3:
        return _rewritten(graph)
    trial = copy.deepcopy(model)
    try:
        said = _rewritten(Graph(trial, trial.subgraphs[0]), lower=True)
    except lowering.NotApplicable as error:
        return (*_rewritten(graph), f"No layer is lowered: {error}.")
    vars(model).update(vars(trial))
    return said


def _rewritten(graph: Graph, *, lower: bool = False) -> tuple[str, ...]:
    """Run the rewrites in order: padding depends on rotation, shifts on padding."""
    said = [*rotate.apply(graph, grow=lower), *head.apply(graph)]
    if lower:
        said += lowering.apply(graph)
    said += [*constants.apply(graph), *pads.apply(graph)]
    sweep.apply(graph)
    return tuple(said)


def _obstacle(graph: Graph) -> str | None:
    """Why a graph with convolutions cannot be rewritten, if so."""
    for operator in graph.operators:
        kind = flatbuffer.OPERATOR_NAMES[graph.code(operator)]
        if graph.code(operator) in windows.CONVOLUTIONS:
            weight = int(operator.inputs[1])
            if graph.constant(weight) is None or graph.tensor(weight).type != TYPES.FLOAT32:
                name = tensors.describe(graph, operator, kind)
                return f"the weights of {name} are not dense float32 constants"
        if graph.code(operator) in windows.CONVOLUTIONS | windows.POOLS:
            ends = (operator.inputs[0], operator.outputs[0])
            if any(tensors.has_free_places(graph, index) for index in ends):
                return f"the height or width of {tensors.describe(graph, operator, kind)} is free"
    return None
