"""Taylor: the squared change of the loss when a weight, block or channel is removed.

Source: Molchanov, Mallya, Tyree, Frosio & Kautz, "Importance Estimation for Neural Network
Pruning", CVPR 2019, arXiv 1906.10771, section 3. With g the gradient and H the curvature of the
loss of one micro-batch,

    weights   (sum over the group of  -g w + 1/2 H w^2)^2
    gates     (-g_z z + 1/2 H_z z^2)^2   at z = 1, one gate z for each output channel,

averaged over micro-batches; first order leaves H out. A gate sits behind the batch normalization
that follows the layer, so g_z = gamma dL/dgamma + beta dL/dbeta and no gate has to be added.

Squares are taken before averaging: in the mean gradient of a trained model the examples cancel, and
what is left says little. The smaller the micro-batches, the better the score agrees with the true
loss change, and the more gradients it takes.

For n weights and N examples in micro-batches of b: time O(n N / b) beyond the gradients; memory
O(n) in float64, plus the gradients that are handed over at once.

Deviations: H is diagonal (the paper's second order sums over a row of H, gates and weights alike);
on weights it is that of the mean loss, estimated from random probes. Layers whose output channels
are added up by a skip connection lose them together: with gates, or where whole output channels are
removed, the sum over the group runs over all of them, and each has the score of the group. (The sum
of their squares, one alternative, agrees less with the true loss change.) The score of a group is
spread evenly over its weights, which any structure can then pool.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import keras
import numpy as np

from tfprune.scorers.protocol import Arrays, Evidence, require_question
from tfprune.sparsity.contract import Structure, kept_in_group
from tfprune.sparsity.structures import group_labels
from tfprune.support.array_arguments import require_arrays
from tfprune.support.configurable import Configurable
from tfprune.support.validation import require_integer, require_number, require_one_of


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Taylor(Configurable):
    """Score by the squared first- or second-order estimate of the loss change.

    Args:
        on: "weights": elements, or the blocks or channels that the structure removes together.
            "gates": output channels; needs a batch normalization behind every scored layer.
        order: 1, or 2 to add the diagonal curvature.
        micro_batch: examples a gradient, >= 1; 1 gives per-example gradients.
        momentum: weight in [0, 1) of the earlier scores in the running average over the mask
            updates of gradual pruning.
        probes: random vectors for the Hessian diagonal of second order on weights, >= 1; None
            computes it exactly, with one Hessian-vector product a weight.

    Raises:
        TypeError: if a number is of the wrong kind.
        ValueError: if an argument is out of its range; when called on gates, if a kernel has none.

    Example:
        >>> import types
        >>> found = types.SimpleNamespace(
        ...     batches=lambda size: iter([{"w": np.array([[1.0, 2.0], [-1.0, 0.0]])}]),
        ...     structures={}, channel_groups=list)
        >>> Taylor()({"w": np.array([3.0, 1.0])}, found)
        {'w': array([9., 2.])}
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})
    distribution: ClassVar[str] = "global"
    joins_coupled: ClassVar[bool] = True  # every layer of a group has the score of the group

    on: str = "weights"
    order: int = 1
    micro_batch: int = 32
    momentum: float = 0.9
    probes: int | None = 32

    def __post_init__(self) -> None:
        require_one_of("on", self.on, ("weights", "gates"))
        require_integer("order", self.order, minimum=1)
        require_one_of("order", self.order, (1, 2))
        require_integer("micro_batch", self.micro_batch, minimum=1)
        if require_number("momentum", self.momentum, minimum=0.0) >= 1.0:
            raise ValueError(f"`momentum` must be in [0, 1). Received: momentum={self.momentum}.")
        if self.probes is not None:
            require_integer("probes", self.probes, minimum=1)

    def __call__(self, weights: Arrays, evidence: Evidence) -> Arrays:
        require_question(weights, evidence, "batches", "channel_groups")
        coupled = [group & weights.keys() for group in evidence.channel_groups()]
        if self.on == "gates":
            return self._on_gates(weights, evidence, coupled)
        return self._on_weights(weights, evidence, coupled)

    def accumulate(self, previous: Arrays, scores: Arrays) -> Arrays:
        """Return momentum * previous + (1 - momentum) * scores; new weights have no past."""
        require_arrays("previous", previous)
        require_arrays("scores", scores)
        return {
            name: (
                self.momentum * previous[name] + (1.0 - self.momentum) * value
                if name in previous
                else value
            )
            for name, value in scores.items()
        }

    def predict(self, weights: Arrays, evidence: Evidence, pruned: Arrays) -> float:
        """Return the estimated loss change, sum g d + 1/2 H d^2 with d = pruned - weights.

        Unlike scores, it is one estimate for all removals and changes together, of the mean loss
        and in the weights, whatever `on` is. First order leaves H out.
        """
        require_question(weights, evidence, "mean")
        require_arrays("pruned", pruned, like=weights)
        steps = {name: np.subtract(pruned[name], w, dtype=float) for name, w in weights.items()}
        g = evidence.mean()
        change = sum(float(np.sum(g[name] * d)) for name, d in steps.items())
        if self.order == 2:
            h = evidence.hessian_diagonal(self.probes)
            change += sum(0.5 * float(np.sum(h[name] * d * d)) for name, d in steps.items())
        return change

    def _on_gates(
        self, weights: Arrays, evidence: Evidence, coupled: list[frozenset[str]]
    ) -> Arrays:
        scores = _mean_of_squares(_together(gate_changes(self, evidence), coupled))
        require_gates([name for name in weights if name not in scores])
        return {
            name: _spread(scores[name], _channel_index(name, w.shape, scores[name].size))
            for name, w in weights.items()
        }

    def _on_weights(
        self, weights: Arrays, evidence: Evidence, coupled: list[frozenset[str]]
    ) -> Arrays:
        index = {
            name: _group_index(w.shape, evidence.structures.get(name))
            for name, w in weights.items()
        }
        joint = []
        for group in filter(None, coupled):
            channels = max(weights[name].shape[-1] for name in group)
            removed = {
                name: _channel_index(name, weights[name].shape, channels)
                for name in group
                if _removes(channels, weights[name].shape, evidence.structures.get(name))
            }
            index |= removed
            joint.append(frozenset(removed))
        changes = _together(self._weight_changes(weights, evidence, index), joint)
        scores = _mean_of_squares(changes)
        return {name: _spread(scores[name], index[name]) for name in weights}

    def _weight_changes(
        self, weights: Arrays, evidence: Evidence, index: dict[str, np.ndarray | None]
    ) -> Iterator[Arrays]:
        curvature: Arrays = {}
        if self.order == 2:
            h = evidence.hessian_diagonal(self.probes)
            curvature = {n: 0.5 * h[n] * np.square(w, dtype=float) for n, w in weights.items()}
        for g in _rows(evidence.batches(self.micro_batch)):
            changes = {}
            for name, w in weights.items():
                change = np.multiply(g[name], w, dtype=float)
                if self.order == 2:
                    change -= curvature[name]
                changes[name] = _sums(change, index[name])[np.newaxis]
            yield changes


def gate_changes(scorer: Taylor, evidence: Evidence) -> Iterator[Arrays]:
    """Yield kernel -> estimated loss changes without each channel, up to one common sign.

    Of shape (micro-batches, output channels), for some micro-batches at a time; kernels without
    gates are left out.

    Args:
        scorer: on gates.
        evidence: of the kernels.
    """
    if scorer.order == 1:
        yield from evidence.gates(scorer.micro_batch)
        return
    # Gradients first, they are small: the two passes may come in chunks of different lengths.
    slopes = list(_rows(evidence.gates(scorer.micro_batch)))
    curvatures = _rows(evidence.gate_curvature(scorer.micro_batch))
    for g, curvature in zip(slopes, curvatures, strict=True):
        yield {name: (0.5 * curvature[name] - g[name])[np.newaxis] for name in g}


def require_gates(missing: Sequence[str]) -> None:
    """Raise ValueError if any kernel has no gates."""
    if missing:
        raise ValueError(
            "Taylor(on='gates') needs a batch normalization behind every pruned layer. "
            f"Received: {', '.join(map(repr, missing))} without one; leave them dense with "
            "`rules`, or score with on='weights'."
        )


def _rows(batches: Iterator[Arrays]) -> Iterator[Arrays]:
    """Yield one micro-batch after another from chunks of several: name -> array."""
    for batch in batches:
        for row in range(len(next(iter(batch.values()), ()))):
            yield {name: values[row] for name, values in batch.items()}


def _together(changes: Iterator[Arrays], coupled: list[frozenset[str]]) -> Iterator[Arrays]:
    """Give every member of a coupled set the sum over the set: its channels go together.

    A member of which nothing is known (no gates) shares what is known of the others.
    """
    for batch in changes:
        joined = dict(batch)
        for names in coupled:
            known = [batch[name] for name in sorted(names) if name in batch]
            if known:
                joined.update(dict.fromkeys(names, np.sum(known, axis=0)))
        yield joined


def _mean_of_squares(batches: Iterator[Arrays]) -> Arrays:
    """Return the mean over rows of the squares of name -> (rows, ...), in float64."""
    totals: Arrays = {}
    rows = 0
    for batch in batches:
        for name, values in batch.items():
            squares = np.square(values, dtype=float).sum(axis=0)
            totals[name] = totals[name] + squares if name in totals else squares
        rows += len(next(iter(batch.values()), ()))
    return {name: total / rows for name, total in totals.items()}


def _removes(channels: int, shape: tuple[int, ...], structure: Structure | None) -> bool:
    """Return whether the groups of the structure are the output channels, of this number."""
    labels = _group_index(shape, structure)
    if labels is None or int(labels.max()) + 1 != channels:
        return False
    if channels not in (shape[-1], math.prod(shape[-2:])):
        return False
    pairs = labels * channels + _channel_index("", shape, channels)
    return np.unique(pairs).size == channels  # each group meets one channel only


def _group_index(shape: tuple[int, ...], structure: Structure | None) -> np.ndarray | None:
    """Return the number of the group that each weight is in; None where none goes with others."""
    if structure is None or kept_in_group(structure):
        return None
    return group_labels(structure, shape)


def _channel_index(name: str, shape: tuple[int, ...], channels: int) -> np.ndarray:
    """Return the number of the output channel that each weight of a kernel belongs to.

    Output channels are the last axis, or the last two flattened (depthwise kernels: channel
    i * multiplier + j is made by kernel[..., i, j]).
    """
    if shape[-1] == channels:
        return np.broadcast_to(np.arange(channels), shape)
    if len(shape) > 1 and shape[-2] * shape[-1] == channels:
        return np.broadcast_to(np.arange(channels).reshape(shape[-2:]), shape)
    raise ValueError(
        f"Gates and kernels must have the same output channels. Received: {channels} channels for "
        f"weight {name!r} of shape {shape}."
    )


def _sums(values: np.ndarray, index: np.ndarray | None) -> np.ndarray:
    if index is None:
        return values
    return np.bincount(index.ravel(), weights=values.ravel())


def _spread(scores: np.ndarray, index: np.ndarray | None) -> np.ndarray:
    """Share the score of each group evenly among its weights."""
    if index is None:
        return scores
    return (scores / np.bincount(index.ravel()))[index]
