"""Units that masks are bound to take away: from all their inputs, or from the model's output."""

import warnings

import keras
import numpy as np

from tfprune.channels.coupling.reading import read
from tfprune.keras_graph.calls import graph_of, maker_of
from tfprune.layer_classes.axes import axes_of
from tfprune.layer_classes.prunable import owned_weights
from tfprune.pruning.layer_plans import LayerPlan
from tfprune.sparsity.contract import Structure, kept_in_group
from tfprune.sparsity.selection import kept_count
from tfprune.sparsity.structures import Channel, group_labels
from tfprune.support.by_identity import ByIdentity


def cut_off_units(shape: tuple[int, ...], structure: Structure, sparsity: float) -> int:
    """Return how many outputs lose all their weights, at least, whatever the scores are.

    Args:
        shape: of a kernel whose last axis is the outputs.
        structure: laid over it. Only groups that are removed whole can be so few that this happens
            at the sparsities in use. A structure that removes units on purpose is not counted.
        sparsity: fraction of its groups that are removed, in [0, 1).

    Example:
        >>> from tfprune.sparsity.structures import Block
        >>> cut_off_units((96, 10), Block(16, 1), 0.9)  # 6 of 60 blocks are kept
        4
        >>> cut_off_units((96, 10), Block(4, 1), 0.9)
        0
    """
    if kept_in_group(structure) or getattr(structure, "removes_units", False):
        return 0
    labels = group_labels(structure, shape)
    if labels is None:
        return 0
    groups = int(labels.max()) + 1
    kept = kept_count(groups, sparsity)
    if kept >= shape[-1]:
        return 0  # one group for each output
    by_output = np.sort(labels.reshape(-1, shape[-1]), axis=0)
    new = np.diff(by_output, axis=0, prepend=-1) != 0
    fed = np.sort(np.bincount(by_output[new], minlength=groups))[-kept:]  # outputs of a group
    return max(0, shape[-1] - int(fed.sum()))


def warn_cut_off(plans: list[LayerPlan]) -> None:
    """Warn once, of all layers in which units will certainly be cut off.

    Args:
        plans: of one model.
    """
    found: list[str] = []
    for plan in plans:
        owners = [part for part, _ in owned_weights(plan.layer)]
        for part, weight, structure, final in zip(
            owners, plan.weights, plan.structures, plan.finals()
        ):
            if structure is None or not final or not _has_units_last(part, weight):
                continue
            shape = tuple(weight.shape)
            lost = cut_off_units(shape, structure, final)
            line = f"{lost} of {shape[-1]} of '{weight.path}' (at {final:.1%} in {structure})"
            if lost and line not in found:
                found.append(line)
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        warnings.warn(
            "Too few blocks are kept for every unit to have an input; without one will be at least "
            f"{'; '.join(found[:3])}{more}. Give such a layer smaller blocks, or a rule.",
            stacklevel=3,
        )


def warn_outputs(plans: list[LayerPlan], model: keras.Model) -> None:
    """Warn once, of all layers of whose units, which the model returns, masks take some away.

    Args:
        plans: of the model.
        model: built; one without a graph does not show what it returns.
    """
    removing: ByIdentity[keras.Variable, Channel] = ByIdentity()
    for plan in plans:
        for weight, structure, final in zip(plan.weights, plan.structures, plan.finals()):
            if isinstance(structure, Channel) and final != 0:
                removing[weight] = structure
    graph = graph_of(model) if removing else None
    if graph is None:
        return
    reading = read(model)
    settled, labels = reading.book.ledger.settle(), reading.labels_of_tensors()
    # What stands inside of a wrapper is in no graph that was read.
    shown = [labels.get(_before_softmax(tensor), labels[tensor]) for tensor in graph.outputs]
    returned = settled.of(np.concatenate([each.ravel() for each in shown]))
    found = {
        lies.weight.path: lies.layer.name
        for lies in reading.book.weights
        if lies.makes and lies.weight in removing
        if lies.axis == removing[lies.weight].axis % len(lies.weight.shape)
        if np.isin(settled.of(lies.labels), returned[returned > 0]).any()
    }
    if found:
        rules = ", ".join(f'("{name}/.*", None)' for name in dict.fromkeys(found.values()))
        warnings.warn(
            f"Channels are removed that the model returns, by masks of {', '.join(found)}: what "
            f"stands for a class or a value there ends as a constant. rules=[{rules}] leaves them.",
            stacklevel=3,
        )


def _before_softmax(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Return what a softmax that is a layer or an operation of its own makes a tensor of."""
    node, layer, _, _ = maker_of(tensor)
    name = getattr(getattr(layer, "activation", None), "__name__", type(layer).__name__)
    apart = isinstance(layer, keras.layers.Activation) or not isinstance(layer, keras.layers.Layer)
    apart |= isinstance(layer, keras.layers.Softmax)
    softmax = name.replace("_", "").lower() in ("softmax", "logsoftmax")
    return node.input_tensors[0] if apart and softmax else tensor


def _has_units_last(layer: keras.layers.Layer, weight: keras.Variable) -> bool:
    """Whether each entry of the last axis has the weights of one unit that sums over inputs."""
    axes = axes_of(layer, weight)
    sums = bool(axes.inputs) and not axes.is_lookup and axes.gates == 1
    return sums and axes.outputs == (len(weight.shape) - 1,)
