"""Channels that several layers make together are one decision: their scores are added up."""

from collections.abc import Iterator, Mapping, Sequence

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

    Only weights whose output channels are removed whole, by `Channel()`, take part. Each gets the
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
    for members in _together(scores, structures, coupled):
        total = np.sum([_by_channel(scores[name]) for name in members], axis=0)
        total = total / (len(members) if mean else 1)
        for name in members:
            shape = scores[name].shape
            joined[name] = np.broadcast_to(total * (total.size / np.prod(shape)), shape)
    return joined


def join_sparsities(
    sparsities: Mapping[str, float],
    scores: Mapping[str, Scores],
    structures: Mapping[str, Structure],
    coupled: Sequence[frozenset[str]],
) -> dict[str, float]:
    """Return sparsities of which coupled weights have one: their mean, by their sizes.

    Args:
        sparsities: name -> fraction.
        scores: as in `join_channels`.
        structures: name -> structure.
        coupled: as in `join_channels`.

    Example:
        >>> scores = {"a": np.ones((1, 2)), "b": np.ones((3, 2))}
        >>> join_sparsities(
        ...     {"a": 0.0, "b": 1.0}, scores, dict.fromkeys("ab", Channel()), [frozenset("ab")])
        {'a': 0.75, 'b': 0.75}
    """
    joined = dict(sparsities)
    for members in _together(scores, structures, coupled):
        if len({sparsities[name] for name in members}) > 1:
            sizes = [int(np.prod(scores[name].shape)) for name in members]
            one = float(np.average([sparsities[name] for name in members], weights=sizes))
            joined.update(dict.fromkeys(members, one))
    return joined


def _together(
    scores: Mapping[str, Scores],
    structures: Mapping[str, Structure],
    coupled: Sequence[frozenset[str]],
) -> Iterator[list[str]]:
    """Yield names of coupled weights whose output channels are removed whole, two or more each."""
    for names in coupled:
        members = [
            name
            for name in sorted(names)
            if name in scores and _is_output(structures[name], len(scores[name].shape))
        ]
        # Other widths are those of a depthwise kernel with a multiplier.
        if len(members) > 1 and len({scores[name].shape[-1] for name in members}) == 1:
            yield members


def _is_output(structure: Structure, rank: int) -> bool:
    return isinstance(structure, Channel) and structure.axis in (-1, rank - 1)


def _by_channel(scores: Scores) -> np.ndarray:
    values = np.asarray(scores, dtype=float)
    return values.reshape(-1, values.shape[-1]).sum(axis=0)
