"""Exact rewrites of a parsed .tflite model towards XNNPACK's sparse mode.

Each computes the same function up to the rounding of float32. The mode and its conditions are
described in `tfprune.export.lint`; files keep running everywhere else.
"""

from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import TYPES, Subgraph
from tfprune.export.file.tables import Model
from tfprune.export.rewrites import constants, head, lowering, pads, rotate, sweep, tensors, windows

__all__ = ["apply"]


def apply(model: Model, *, lower_conv3x3: bool = False) -> tuple[Model, tuple[str, ...]]:
    """Rewrite the main subgraph of a model so that more of it meets XNNPACK's sparse kernels.

    Args:
        model: A model with dense float32 weights, which stays as it is.
        lower_conv3x3: Whether to express larger and strided convolutions and max-pools by sparse
            1x1 convolutions and shifts. That pays only where the sparse kernels run.

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
    if not lower_conv3x3:
        return _rewritten(model)
    try:
        return _rewritten(model, lower=True)
    except lowering.NotApplicable as error:
        rewritten, said = _rewritten(model)
        return rewritten, (*said, f"No layer is lowered: {error}.")


def _rewritten(model: Model, *, lower: bool = False) -> tuple[Model, tuple[str, ...]]:
    """Run the rewrites on a copy, in order: padding depends on rotation, shifts on padding."""
    model = flatbuffer.copied(model)
    subgraph = Subgraph(model, model.subgraphs[0])
    said = [*rotate.apply(subgraph, grow=lower), *head.apply(subgraph)]
    if lower:
        said += lowering.apply(subgraph)
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
