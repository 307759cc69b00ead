"""WoodFisher: score w^2 / (2 [F^-1]_qq), the loss of removing a weight and adjusting the others.

The empirical Fisher F = lambda I + G^T G / N of per-example gradients G (N, B) stands for the
Hessian in blocks of B weights. Removing weight q costs min 1/2 delta^T F delta under
delta_q = -w_q, which is w_q^2 / (2 [F^-1]_qq); groups of weights, such as 1x4 blocks and N:M
patterns, score by their joint saliency (`block_saliency`). The factor 1/2 of the second-order term
is kept so that scores are in units of the loss and compare across layers.

WoodTaylor (`first_order=True`) adds the gradient g: min t g^T delta + 1/2 delta^T F delta under
delta_q = -w_q. With f = F^-1 g the minimum is

    delta = -t f - F^-1 e_q (w_q - t f_q) / [F^-1]_qq,
    loss = -1/2 t^2 g^T f + (w_q - t f_q)^2 / (2 [F^-1]_qq),

whose first part is the same for all q, so that the score is the second. t <= 1 bounds the step
(`woodfisher_update`): unbounded, it is |f| ~ |g| / lambda along directions without curvature, far
outside the region where the model of the loss holds.

Source: Singh & Alistarh, "WoodFisher: efficient second-order approximation for neural network
compression", arXiv 2004.14340, sections 3 and B. The closed forms are in `inverse_fisher`.
Time O(min(N, B) N) a weight; memory of `inverse_fisher_diagonal`.
Deviations: F^-1 by a factorization instead of a recursion (the same numbers); masked weights leave
the blocks; joint update; trust region; blocks end where a group of the structure ends. Blocks run
over the weights of one output unit after the other, as the paper's do (`woodfisher_columns`).
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

import keras
import numpy as np

from tfprune.scorers.protocol import Evidence, require_question
from tfprune.scorers.woodfisher.factor import factorise
from tfprune.scorers.woodfisher.inverse import (
    fill_diagonal,
    inverse_fisher_diagonal,
    inverse_fisher_diagonals,
    inverse_fisher_vector_product,
    scale_free_damping,
    sum_of_squares,
)
from tfprune.scorers.woodfisher.saliency import group_scores
from tfprune.scorers.woodfisher.sections import Section, sections_of
from tfprune.scorers.woodfisher.update import (
    first_order_step,
    joint_update,
    predicted_change,
    sum_update,
)
from tfprune.support.array_arguments import require_arrays
from tfprune.support.configurable import Configurable
from tfprune.support.validation import (
    require_flag,
    require_integer,
    require_number,
    require_one_of,
)

__all__ = [
    "WoodFisher",
    "inverse_fisher_diagonal",
    "inverse_fisher_diagonals",
    "inverse_fisher_vector_product",
    "scale_free_damping",
]

Arrays = dict[str, np.ndarray]

_READ = 25.0  # operations in whose time a gradient is gathered
_BLOCK = 9e6  # operations in whose time a block calls what it needs

_UPDATES: dict[str, Callable[..., np.ndarray]] = {"joint": joint_update, "sum": sum_update}


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class WoodFisher(Configurable):
    """Score weights by w^2 / (2 [F^-1]_qq) with the block-wise empirical Fisher F.

    Args:
        block_size: weights a block, >= 1; "layer" is one block a weight, "model" one block for all.
        damping: lambda > 0, in units of squared gradients.
        scale_free: lambda is `damping` times the mean of the diagonal of G^T G / N over the
            unmasked elements of the weight (of the model with block_size="model").
        scope: "layer" ranks the weights of each layer by themselves (distribution "uniform"),
            "global" ranks all together, so that layers get thresholds of their own.
        update: how kept weights make up for removed ones: "joint", exact for all removed weights of
            a block together; "sum", the paper's sum of single updates; None, not at all.
        first_order: count the gradient (WoodTaylor).
        trust_region: longest first-order step of a block, as a share of the length of its weights,
            > 0.

    Raises:
        TypeError, ValueError: if an argument is none of these.

    Example:
        >>> WoodFisher(damping=1e-4).distribution
        'uniform'
        >>> WoodFisher(scope="global").distribution
        'global'
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})

    block_size: int | str = 2000
    damping: float = 1e-5
    scale_free: bool = False
    scope: str = "layer"
    update: str | None = "joint"
    first_order: bool = False
    trust_region: float = 0.01

    def __post_init__(self) -> None:
        if isinstance(self.block_size, str):
            require_one_of("block_size", self.block_size, ("layer", "model"))
        else:
            require_integer("block_size", self.block_size, minimum=1)
        require_number("damping", self.damping, above=0.0)
        require_number("trust_region", self.trust_region, above=0.0)
        require_one_of("scope", self.scope, ("layer", "global"))
        require_one_of("update", self.update, (*_UPDATES, None))
        for name in ("scale_free", "first_order"):
            require_flag(name, getattr(self, name))

    @property
    def distribution(self) -> str:
        return "global" if self.scope == "global" else "uniform"

    def __call__(self, weights: Arrays, evidence: Evidence) -> Arrays:
        found = self._sections(weights, evidence)
        scores = {name: np.zeros(np.shape(w)) for name, w in weights.items()}
        for section in found:
            with _naming(section):
                section.scatter(self._score(section, section.gather(weights)), scores)
            section.release()
        return scores

    def operations(self, weights: Arrays, evidence: Evidence) -> float:
        """Return the work of scoring and the update, in operations of matrix products.

        A block of B weights costs about 3 N B min(N, B), and a third more with an update.
        """
        require_question(weights, evidence, "masks", "examples")
        counts = [int(np.count_nonzero(evidence.masks[name])) for name in weights]
        counts = [sum(counts)] if self.block_size == "model" else counts
        largest = np.inf if isinstance(self.block_size, str) else self.block_size
        examples, passes = evidence.examples, 3.0 if self.update is None else 4.0
        total = 0.0
        for count in filter(None, counts):
            size = min(count, largest)
            block = passes * examples * size * (min(examples, size) + _READ) + _BLOCK
            total += block * count / size
        return total

    def compensate(self, weights: Arrays, evidence: Evidence, masks: Arrays) -> Arrays:
        """Return the weights after the removal of those that `masks` (True = kept) drops.

        Weights masked before stay as they are; removed ones become zero, unless `update` is
        None, which changes nothing.
        """
        require_question(weights, evidence, "per_example")
        require_arrays("masks", masks, like=weights)
        changed = {name: np.array(w, order="C") for name, w in weights.items()}
        if self.update is None:
            return changed
        share = self.trust_region if self.first_order else None
        for section in self._sections(weights, evidence):
            w, removed = section.gather(weights), ~section.gather(masks, bool)
            if removed.any():
                with _naming(section):
                    damping = self._damping(section)
                    delta = _UPDATES[self.update](section, w, removed, damping, share)
                section.scatter(w + delta, changed)
                section.release()
        return changed

    def predict(self, weights: Arrays, evidence: Evidence, pruned: Arrays) -> float:
        """Return the change of the loss from `weights` to `pruned` in the model of F."""
        found = self._sections(weights, evidence)
        require_arrays("pruned", pruned, like=weights)
        return predicted_change(found, weights, pruned, self.first_order)

    def _sections(self, weights: Arrays, evidence: Evidence) -> Iterable[Section]:
        require_question(weights, evidence, "per_example")
        return sections_of(weights, evidence, self.block_size)

    def _damping(self, section: Section) -> float:
        if not self.scale_free:
            return self.damping
        columns = section.columns()
        mean = sum_of_squares(columns) / (columns.shape[0] * columns.shape[1])
        return self.damping * mean or self.damping

    def _score(self, section: Section, w: np.ndarray) -> np.ndarray:
        columns, damping, scores = section.columns(), self._damping(section), np.empty(w.size)
        if section.elementwise and not self.first_order:
            diagonal = np.empty(w.size)
            fill_diagonal(columns, section.blocks[0][1], damping, diagonal)
            return w**2 / (2.0 * diagonal)
        for start, stop in section.blocks:
            factor, u = factorise(columns, start, stop, damping), w[start:stop]
            if self.first_order:
                u = u - first_order_step(factor, self.trust_region * float(np.linalg.norm(u)))[0]
            if section.elementwise:
                scores[start:stop] = u**2 / (2.0 * factor.diagonal())
            else:
                ends, kept = section.groups_of(start, stop)
                scores[start:stop] = group_scores(factor, ends, kept, u)
        return scores


@contextlib.contextmanager
def _naming(section: Section) -> Iterator[None]:
    """Say in errors about gradients whose they are."""
    try:
        yield
    except ValueError as error:
        listed = ", ".join(repr(name) for name in section.names)
        raise ValueError(f"{error} The gradients are those of {listed}.") from error
