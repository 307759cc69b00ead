"""Channels that several layers make together are one decision: their scores are added up.

What is coupled is said by numbers: name -> number of the channel at each place along the axis of a
weight's `Channel`. The same number in two weights is the same channel: of two layers that are added
up in all places, of a layer and one branch of a concatenation in some. Weights without an entry are
coupled with nothing.
"""

from collections.abc import Collection, Mapping

import numpy as np

from tfprune.sparsity.selection import Scores
from tfprune.sparsity.structures import Channel, Structure

Numbers = Mapping[str, np.ndarray]
Kept = Mapping[str, np.ndarray]
"""name -> whether each channel is kept."""


def join_channels(
    scores: Mapping[str, Scores],
    structures: Mapping[str, Structure],
    coupled: Numbers,
    scorer: object = None,
    decided: Kept | None = None,
) -> dict[str, Scores]:
    """Return scores in which coupled weights have the same score for the same channel.

    Each gets the sum over all of them, spread evenly over its channel, so that equal sparsities
    give equal masks. Where a weight has the channels of others side by side, as that which is added
    to a concatenation does, the sums change places so that equal sparsities give equal masks too:
    the best of every part stand before the second best of any.

    Args:
        scores: name -> array; larger = keep.
        structures: name -> structure; a `Channel` for all that is coupled.
        coupled: name -> numbers of its channels.
        scorer: whose scores they are. If it `joins_coupled`, they are those of all that is coupled
            already, and the mean is taken in place of the sum.
        decided: name -> kept channels of weights that have their masks already. Channels that they
            have lost stand behind the others of the same part.

    Example:
        >>> scores = {"a": np.array([[1.0, 5.0]]), "b": np.array([[2.0, 0.0], [2.0, 0.0]])}
        >>> channels, coupled = dict.fromkeys("ab", Channel()), dict.fromkeys("ab", np.arange(2))
        >>> joined = join_channels(scores, channels, coupled)
        >>> joined["a"].tolist(), joined["b"].tolist()
        ([[5.0, 5.0]], [[2.5, 2.5], [2.5, 2.5]])
        >>> first = {"b": np.array([True, False])}
        >>> join_channels({"a": scores["a"]}, channels, coupled, decided=first)
        {'a': array([[5., 1.]])}
    """
    decided = decided or {}
    joined: dict[str, Scores] = dict(scores)
    for names in _together({*scores, *decided}, coupled):
        known = np.unique(np.concatenate([coupled[name] for name in names]))
        at = {name: np.searchsorted(known, coupled[name]) for name in names}
        total, members, deciders, keepers = (np.zeros(known.size) for _ in range(4))
        for name in names:
            if name in scores:
                np.add.at(total, at[name], _by_channel(scores[name], _axis(structures[name])))
                np.add.at(members, at[name], 1)
            else:
                np.add.at(deciders, at[name], 1)
                np.add.at(keepers, at[name], decided[name])
        if getattr(scorer, "joins_coupled", False):
            total = total / np.maximum(members, 1)
        part = _parts(known.size, list(at.values()))
        for name in names:
            if name in scores:
                own = at[name]
                values = _by_rank(total[own], part[own], keepers[own], deciders[own] > 0)
                shape = scores[name].shape
                each = values * (values.size / np.prod(shape))
                along = _along(each, _axis(structures[name]), len(shape))
                joined[name] = np.broadcast_to(along, shape)
    return joined


def join_sparsities(
    sparsities: Mapping[str, float], scores: Mapping[str, Scores], coupled: Numbers
) -> dict[str, float]:
    """Return sparsities of which coupled weights have one: their mean, by their sizes.

    Args:
        sparsities: name -> fraction.
        scores: as in `join_channels`.
        coupled: as in `join_channels`.

    Example:
        >>> scores = {"a": np.ones((1, 2)), "b": np.ones((3, 2))}
        >>> coupled = dict.fromkeys("ab", np.arange(2))
        >>> join_sparsities({"a": 0.0, "b": 1.0}, scores, coupled)
        {'a': 0.75, 'b': 0.75}
    """
    joined = dict(sparsities)
    for names in _together(scores.keys(), coupled):
        if len({sparsities[name] for name in names}) > 1:
            sizes = [int(np.prod(scores[name].shape)) for name in names]
            one = float(np.average([sparsities[name] for name in names], weights=sizes))
            joined.update(dict.fromkeys(names, one))
    return joined


def kept_channels(mask: np.ndarray, structure: Structure) -> np.ndarray:
    """Return whether each channel of a mask of `Channel` is kept.

    Example:
        >>> kept_channels(np.array([[True, False], [True, False]]), Channel())
        array([ True, False])
    """
    return _by_channel(mask, _axis(structure)) > 0


def _together(names: Collection[str], coupled: Numbers) -> list[list[str]]:
    """Return lists of names, in order, that share channels with each other and with no others."""
    found: list[tuple[list[str], set[int]]] = []
    for name in sorted(names):
        if name in coupled:
            members, numbers = [name], set(coupled[name].tolist())
            apart = []
            for other in found:
                if numbers.isdisjoint(other[1]):
                    apart.append(other)
                else:
                    members, numbers = other[0] + members, numbers | other[1]
            found = [*apart, (sorted(members), numbers)]
    return [members for members, _ in found if len(members) > 1]


def _parts(size: int, places: list[np.ndarray]) -> np.ndarray:
    """Return for each channel the number of its part: of those that the same weights have."""
    inside = np.zeros((len(places), size), bool)
    for row, own in zip(inside, places):
        row[own] = True
    return np.unique(inside, axis=1, return_inverse=True)[1].reshape(-1)


def _by_rank(
    values: np.ndarray, part: np.ndarray, keepers: np.ndarray, is_decided: np.ndarray
) -> np.ndarray:
    """Return the values in other places: by their share of the way down in the part of each.

    Where there is one part, and nothing is decided, they stay where they are. So does -inf.

    Args:
        values: one a channel, larger = keep.
        part: the number of its part.
        keepers: how many of the weights that are decided keep it.
        is_decided: whether any of them has it, the same in the whole part.
    """
    if (part == part[0]).all() and (keepers == keepers[0]).all():
        return values
    out = np.isneginf(values)
    # What is kept fills the same first share of the way in all parts that are decided, and what is
    # lost the rest, so that one sparsity follows parts that have lost more and that have lost less.
    kept_share = np.mean(keepers[is_decided] > 0) if is_decided.any() else 1.0
    way = np.empty(values.size)
    for number in np.unique(part):
        own = np.flatnonzero(part == number)
        best_first = own[np.lexsort((-values[own], -keepers[own], out[own]))]
        way[best_first] = (np.arange(own.size) + 0.5) / own.size
        kept = np.count_nonzero(keepers[own] > 0)
        if is_decided[own[0]] and 0 < kept < own.size:
            points = [0.0, kept / own.size, 1.0]
            way[own] = np.interp(way[own], points, [0.0, kept_share, 1.0])
    placed = values.copy()
    open_ones = np.flatnonzero(~out)
    placed[open_ones[np.argsort(way[open_ones], kind="stable")]] = -np.sort(-values[open_ones])
    return placed


def _axis(structure: Structure) -> int:
    return structure.axis if isinstance(structure, Channel) else -1


def _by_channel(scores: Scores, axis: int) -> np.ndarray:
    values = np.moveaxis(np.asarray(scores, dtype=float), axis, -1)
    return values.reshape(-1, values.shape[-1]).sum(axis=0)


def _along(values: np.ndarray, axis: int, rank: int) -> np.ndarray:
    aligned = [1] * rank
    aligned[axis] = values.size
    return values.reshape(aligned)
