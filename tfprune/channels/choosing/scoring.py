"""Scores of channels: the scores of the weights that make them, added up.

Any scorer of weights will do. A scorer that already joins what is coupled (Taylor adds up the loss
changes of all layers of a group before it squares them) has the same score in every layer; then the
mean over the layers is taken in place of the sum.
"""

import dataclasses
from typing import Protocol, runtime_checkable

import keras
import numpy as np

from tfprune.calibration.source import EvidenceOptions
from tfprune.calibration.weight_scores import scores_of_weights
from tfprune.channels.coupling.groups import Group
from tfprune.channels.coupling.ledger import Settled
from tfprune.channels.coupling.reading import Reading
from tfprune.scorers.protocol import Scorer
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity


@runtime_checkable
class ChannelScorer(Protocol):
    """A scorer that looks at whole channels, such as `BatchNormScale`."""

    def of_channels(self, reading: Reading, settled: Settled) -> np.ndarray:
        """Return root -> score, larger = keep; NaN for channels that it says nothing of."""


@dataclasses.dataclass(frozen=True)
class BatchNormScale:
    """Score a channel by |gamma| of the batch normalizations that it goes through.

    Source: Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV
    2017, arXiv 1708.06519. A channel without one cannot be scored.

    Example:
        >>> BatchNormScale()
        BatchNormScale()
    """

    def of_channels(self, reading: Reading, settled: Settled) -> np.ndarray:
        total, times = np.zeros((2, settled.roots.size))
        for lies in reading.book.weights:
            if isinstance(lies.layer, keras.layers.BatchNormalization):
                if lies.weight is lies.layer.gamma:
                    roots = settled.of(lies.labels)
                    total += np.bincount(roots, np.abs(host_array(lies.weight.value)), total.size)
                    times += np.bincount(roots, minlength=total.size)
        return np.divide(total, times, out=np.full(total.size, np.nan), where=times > 0)


def score_groups(
    reading: Reading,
    settled: Settled,
    groups: list[Group],
    scorer: Scorer,
    options: EvidenceOptions,
    seed: int = 0,
) -> list[np.ndarray]:
    """Return the score of every channel of each group, larger = keep.

    Args:
        reading: of the model.
        settled: its channels.
        groups: whose channels are scored.
        scorer: of weights, or a `ChannelScorer`.
        options: data and loss, where the scorer needs them.
        seed: of the choice of examples.

    Raises:
        ValueError: if data is missing where it is needed or does not fit, or the scorer has no
            score for a channel.
    """
    if isinstance(scorer, ChannelScorer):
        by_root = _checked(scorer, scorer.of_channels(reading, settled), settled)
    else:
        by_root = _by_weights(reading, settled, groups, scorer, options, seed)
    scores = [by_root[group.channels] for group in groups]
    for group, found in zip(groups, scores):
        missing = np.isnan(found) & group.removable
        if missing.any():
            raise ValueError(
                f"Every channel must get a score. Received: none from {type(scorer).__name__} for "
                f"{int(missing.sum())} of {found.size} channels of '{group.name}'; leave them out "
                "with `rules`, or choose another scorer."
            )
    return scores


def _checked(scorer: ChannelScorer, scores: object, settled: Settled) -> np.ndarray:
    """Return scores of channels as an array, or raise ValueError if they are no such thing."""
    try:
        found = np.asarray(scores, float)
    except (TypeError, ValueError):
        found = np.zeros(())
    if found.shape != settled.roots.shape:
        raise ValueError(
            f"`of_channels` of a scorer must return {settled.roots.size} numbers, one a root. "
            f"Received: from {type(scorer).__name__} {scores!r}."
        )
    return found


def _by_weights(
    reading: Reading,
    settled: Settled,
    groups: list[Group],
    scorer: Scorer,
    options: EvidenceOptions,
    seed: int,
) -> np.ndarray:
    wanted = np.zeros(settled.roots.size, bool)
    for group in groups:
        wanted[group.channels[group.removable]] = True
    makers = [m for m in reading.book.weights if m.makes and wanted[settled.of(m.labels)].any()]
    found = scores_of_weights(reading.model, [m.weight for m in makers], scorer, options, seed)
    total, times = np.zeros((2, settled.roots.size))  # score, and layers that it is from
    done: ByIdentity[keras.Variable, set[int]] = ByIdentity()
    for maker in makers:
        axes = done.setdefault(maker.weight, set())
        if maker.axis in axes or maker.weight not in found:
            continue
        axes.add(maker.axis)
        values = found[maker.weight]
        others = tuple(axis for axis in range(values.ndim) if axis != maker.axis)
        roots = settled.of(maker.labels)
        total += np.bincount(roots, values.sum(axis=others, dtype=float), total.size)
        times[np.unique(roots)] += 1
    joined = getattr(scorer, "joins_coupled", False)
    scores = np.full(total.size, np.nan)
    np.divide(total, times if joined else 1.0, out=scores, where=times > 0)
    return scores
