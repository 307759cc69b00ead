"""Units that blocks are bound to cut off from all their inputs, being too few for all of them."""

import warnings

import keras
import numpy as np

from tfprune.layer_classes.axes import axes_of
from tfprune.layer_classes.prunable import owned_weights
from tfprune.sparsity.masks import kept_count
from tfprune.sparsity.structures import Block, Structure


def cut_off_units(shape: tuple[int, ...], structure: Structure, sparsity: float) -> int:
    """Return how many outputs lose all their weights, at least, whatever the scores are.

    Args:
        shape: of a kernel whose last axis is the outputs.
        structure: laid over it. Only blocks can be so coarse that this happens at the sparsities
            in use: `NofM` keeps weights everywhere, `Channel` removes units on purpose.
        sparsity: fraction of its groups that are removed, in [0, 1).

    Example:
        >>> cut_off_units((96, 10), Block(16, 1), 0.9)  # 6 of 60 blocks are kept
        4
        >>> cut_off_units((96, 10), Block(4, 1), 0.9)
        0
    """
    if not isinstance(structure, Block):
        return 0
    blocks = structure.group_scores(np.zeros(shape, np.float32)).size
    return max(0, shape[-1] - structure.width * kept_count(blocks, sparsity))


def warn_cut_off(
    model: keras.Model,
    structures: dict[int, Structure | None],
    finals: dict[int, float | None],
) -> None:
    """Warn once, of all layers in which units will certainly be cut off.

    Args:
        model: plain, built model.
        structures: id of a prunable weight -> structure, None for a dense one.
        finals: id of a prunable weight -> final sparsity, 0 for a dense one, None if not known.
    """
    found = []
    for layer, weight in owned_weights(model):
        structure, final = structures[id(weight)], finals[id(weight)]
        if structure is None or not final or not _has_units_last(layer, weight):
            continue
        shape = tuple(weight.shape)
        lost = cut_off_units(shape, structure, final)
        if lost:
            units = f"{lost} of {shape[-1]} of '{weight.path}'"
            found.append(f"{units} (at {final:.1%} in {structure})")
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        warnings.warn(
            "Too few blocks are kept for every unit to have an input; without one will be at least "
            f"{'; '.join(found[:3])}{more}. Give such a layer smaller blocks, or a rule.",
            stacklevel=3,
        )


def _has_units_last(layer: keras.layers.Layer, weight: keras.Variable) -> bool:
    """Whether each entry of the last axis has the weights of one unit that sums over inputs."""
    axes = axes_of(layer, weight)
    sums = bool(axes.inputs) and not axes.is_lookup and axes.gates == 1
    return sums and axes.outputs == (len(weight.shape) - 1,)
