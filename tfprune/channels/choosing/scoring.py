"""Scores of channels: the scores of the weights that make them, added up.

Any scorer of weights will do. The gates of Taylor are added up with their signs before they are
squared: each layer that makes a channel may have one.
"""

import dataclasses
from typing import Protocol, runtime_checkable

import keras
import numpy as np

from tfprune.calibration.source import EvidenceOptions
from tfprune.calibration.weight_scores import questions, scores_of_weights
from tfprune.channels.coupling.groups import Group
from tfprune.channels.coupling.ledger import Settled
from tfprune.channels.coupling.reading import Reading
from tfprune.scorers.protocol import Scorer
from tfprune.scorers.taylor import Taylor, gate_changes, require_gates
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity

_ROWS = 64  # micro-batches added up at once


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
    roots_of: ByIdentity[keras.Variable, dict[int, np.ndarray]] = ByIdentity()
    for maker in makers:
        axes = roots_of.setdefault(maker.weight, {})
        axes.setdefault(maker.axis, settled.of(maker.labels))
    if isinstance(scorer, Taylor) and scorer.on == "gates":
        return _by_gates(reading.model, roots_of, wanted, scorer, options, seed)
    found = scores_of_weights(reading.model, roots_of, scorer, options, seed)
    total, known = np.zeros(wanted.size), np.zeros(wanted.size, bool)
    for weight, axes in roots_of.items():
        for axis, roots in axes.items() if weight in found else ():
            others = tuple(other for other in range(found[weight].ndim) if other != axis)
            total += np.bincount(roots, found[weight].sum(axis=others, dtype=float), total.size)
            known[roots] = True
    return np.where(known, total, np.nan)


def _by_gates(
    model: keras.Model,
    roots_of: ByIdentity[keras.Variable, dict[int, np.ndarray]],
    wanted: np.ndarray,
    scorer: Taylor,
    options: EvidenceOptions,
    seed: int,
) -> np.ndarray:
    """Return root -> mean square over micro-batches of the sum over all gates of the channel."""
    squares, known, rows = np.zeros(wanted.size), np.zeros(wanted.size, bool), 0
    bare: list[str] = []
    for asked in questions(model, roots_of, scorer, options, seed):
        for batch in gate_changes(scorer, asked.evidence):
            gates = {
                name: roots
                for name, values in batch.items()
                for roots in roots_of[asked.weights[name]].values()
                if roots.size == values.shape[1]  # output channels, one a gate
            }
            for roots in gates.values():
                known[roots] = True
            count = len(next(iter(batch.values()), ()))
            rows += count
            for first in range(0, count, _ROWS):
                changes = np.zeros((min(_ROWS, count - first), wanted.size))
                for name, roots in gates.items():
                    np.add.at(changes.T, roots, batch[name][first : first + _ROWS].T)
                squares += np.square(changes).sum(axis=0)
        bare += [
            name
            for name, weight in asked.weights.items()
            if any((wanted & ~known)[roots].any() for roots in roots_of[weight].values())
        ]
    require_gates(bare)
    return np.where(known, squares / max(1, rows), np.nan)
