"""Channels that several layers make together are one decision: their scores are added up."""

from collections.abc import Mapping, Sequence

import numpy as np

from tfprune.sparsity.selection import Scores
from tfprune.sparsity.structures import Channel, Structure


def join_channels(
    scores: Mapping[str, Scores],
    structures: Mapping[str, Structure],
    coupled: Sequence[frozenset[str]],
    scorer: object = None,
) -> dict[str, Scores]:
    """Return scores in which coupled weights have the same score for the same output channel.

    Only weights whose output channels are removed whole, by `Channel(-1)`, take part. Each gets the
    sum over all of them, spread evenly over its channel, so that equal sparsities give equal masks.

    Args:
        scores: name -> array; larger = keep.
        structures: name -> structure.
        coupled: sets of names of weights whose output channels (the last axis) are the same.
        scorer: whose scores they are. If it `joins_coupled`, they are those of the whole set
            already, and the mean is taken in place of the sum.

    Example:
        >>> scores = {"a": np.array([[1.0, 5.0]]), "b": np.array([[2.0, 0.0], [2.0, 0.0]])}
        >>> joined = join_channels(scores, dict.fromkeys("ab", Channel()), [frozenset("ab")])
        >>> joined["a"].tolist(), joined["b"].tolist()
        ([[5.0, 5.0]], [[2.5, 2.5], [2.5, 2.5]])
    """
    joined: dict[str, Scores] = dict(scores)
    mean = getattr(scorer, "joins_coupled", False)
    for names in coupled:
        members = [
            name for name in sorted(names) if name in scores and _is_output(structures[name])
        ]
        if len(members) < 2:
            continue
        sums = {name: _by_channel(scores[name]) for name in members}
        if len({found.size for found in sums.values()}) > 1:
            continue  # a depthwise kernel with a multiplier
        total = np.sum(list(sums.values()), axis=0) / (len(members) if mean else 1)
        for name in members:
            shape = scores[name].shape
            joined[name] = np.broadcast_to(total * (total.size / np.prod(shape)), shape)
    return joined


def _is_output(structure: Structure) -> bool:
    return isinstance(structure, Channel) and structure.axis == -1


def _by_channel(scores: Scores) -> np.ndarray:
    values = np.asarray(scores, dtype=float)
    return values.reshape(-1, values.shape[-1]).sum(axis=0)
