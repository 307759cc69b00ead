"""Layer-wise reconstruction: keep the output of each layer on a few calibration inputs.

For the inputs X (samples, d) of a layer and one column w (d,) of its weight, an output of its own,
pruning changes the layer's output by the mean square (w - w')^T H (w - w'), H = X^T X / samples.
The weights of a column are removed greedily, each time the one whose removal costs least after the
best change of the others (see `tfprune.scorers.reconstruction.removal`). The score of a weight is
the cost of its removal, or the highest cost up to then where that is more, so that for every
threshold the weights below it are a prefix of the order of removal. `compensate` solves the
least-squares problem for the kept weights of the final mask at once.

Costs are divided by w^T H w of the whole weight: the score is a share of the layer's mean squared
output, comparable between layers as far as an equal relative error of two layers hurts alike.

Source: Frantar & Alistarh, "Optimal Brain Compression", NeurIPS 2022 (arXiv 2208.11580), algorithms
1 and 2, section 4; damping as in Frantar & Alistarh, "SparseGPT", ICML 2023 (arXiv 2301.00774).
Complexity: time 2/3 d^3 operations a column plus 2 d^3 a layer for H^-1, memory 64 MiB plus a few
arrays (d, d) beyond the weights and X^T X.
Deviations: H is that of the layer's inputs in the model as it is, sparse already or not; biases are
not refitted; where the masked model's inputs change, several stages take the place of layer order.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import keras
import numpy as np

from tfprune.scorers.inputs import LayerInputs
from tfprune.scorers.protocol import Evidence, require_question
from tfprune.scorers.reconstruction.block_removal import remove_blocks
from tfprune.scorers.reconstruction.refit import refit_rows
from tfprune.scorers.reconstruction.removal import elements_work, remove_elements
from tfprune.scorers.reconstruction.row_sets import RowSet, quotas, row_sets_of
from tfprune.sparsity.contract import Structure, kept_in_group
from tfprune.sparsity.structures import group_labels
from tfprune.support.array_arguments import require_arrays
from tfprune.support.configurable import Configurable
from tfprune.support.validation import require_number, require_one_of

_RAMP = 2.0**-50  # relative step between equal scores of one column, in the order of removal


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class Reconstruction(Configurable):
    """Score weights by what their removal adds to the error of their layer's output.

        H = X^T X / samples + damping * mean(diag(X^T X / samples)) * I

    Args:
        damping: > 0, as a share of the mean of the diagonal of H. Inputs that are always zero make
            H singular without it.
        rows: "layer" compares all weights of a layer by cost; "row" removes the same share of the
            inputs of every output, so that make_mask's counts per output differ by one at most.

    N:M patterns along the inputs are obeyed during removal: the scores make the pattern lose what
    greedy removal within it loses. Blocks and channels that are products of a set of inputs and a
    set of outputs of one slice are removed as blocks, each element scored by the cost divided by
    the elements of the block. Patterns that run across outputs, and blocks that are no such product
    (those along the channels of a depthwise kernel), get the scores of single weights.

    Raises:
        TypeError: if `damping` is not a number.
        ValueError: if `damping` is not finite and > 0, or `rows` unknown.

    Example:
        >>> Reconstruction(damping=0.1).rows
        'layer'
    """

    damping: float = 0.01
    rows: str = "layer"

    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})
    # An equal relative error does not hurt every layer alike, and "global" refuses N:M patterns.
    distribution: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        require_number("damping", self.damping, above=0.0)
        require_one_of("rows", self.rows, ("layer", "row"))

    def __call__(self, weights: dict[str, np.ndarray], evidence: Evidence) -> dict[str, np.ndarray]:
        """Return scores in float64, as every scorer does; `evidence` gives the layers' inputs.

        Raises:
            ValueError: if there are no inputs, or not finite ones, for a weight.
        """
        inputs = _inputs_of(weights, evidence)
        return {
            name: _score(
                self._problem(name, w, inputs[name], evidence),
                evidence.structures[name],
                self.rows,
            )
            for name, w in weights.items()
        }

    def operations(self, weights: dict[str, np.ndarray], evidence: Evidence) -> float:
        """Return the work of scoring and refitting, in operations of matrix products.

        Where `evidence` does not tell what the layers' inputs look like, that is 0.
        """
        shapes = getattr(_inputs_of(weights, evidence), "shapes", {})
        return sum(
            2.0 * slices * size**3 + elements_work(slices, weights[name].size // size, size)
            for name, (slices, size) in shapes.items()
        )

    def compensate(
        self, weights: dict[str, np.ndarray], evidence: Evidence, masks: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return weights whose kept entries reproduce the outputs best: name -> array.

        w'_K = w_K + (H_KK)^-1 H_KQ w_Q for the kept K and the removed Q of every output.

        Args:
            weights, evidence: as for scoring; the outputs of these weights are reproduced.
            masks: name -> boolean array, True = kept. A weight without a mask is not changed.

        Returns:
            Arrays of the shape and dtype of the weights, zero where masked.
        """
        inputs = _inputs_of(weights, evidence)
        require_arrays("masks", masks)
        return {
            name: self._refit(name, w, inputs[name], evidence, masks[name]) if name in masks else w
            for name, w in weights.items()
        }

    def _refit(
        self, name: str, w: np.ndarray, inputs: LayerInputs, evidence: Evidence, mask: np.ndarray
    ) -> np.ndarray:
        problem = self._problem(name, w, inputs, evidence)
        new = refit_rows(problem.w, problem.rows_of(mask), problem.h, problem.slice_of_row)
        return problem.weight_of(new).astype(w.dtype)

    def _problem(
        self, name: str, w: np.ndarray, inputs: LayerInputs, evidence: Evidence
    ) -> "_Problem":
        mask = evidence.masks.get(name)
        values = np.asarray(w, np.float64)
        if mask is not None:
            values = np.where(mask, values, 0.0)
        matrix = inputs.to_matrix(values)
        h = inputs.moments / inputs.samples
        if not np.isfinite(h).all():
            raise ValueError(
                f"Inputs of the layer of '{name}' must be finite. Received: NaN or inf."
            )
        mean = np.diagonal(h, axis1=1, axis2=2).mean(axis=1)
        # A slice that sees only zeros is damped as the others are on average.
        mean = np.where(mean > 0.0, mean, mean.mean() or 1.0)
        h += (self.damping * mean)[:, None, None] * np.eye(h.shape[1])
        return _Problem(inputs, matrix.transpose(0, 2, 1).reshape(-1, h.shape[1]), h)


@dataclasses.dataclass(frozen=True)
class _Problem:
    """A weight as independent rows w (rows, d), `outputs` of them a slice, and H of each slice."""

    inputs: LayerInputs
    w: np.ndarray
    h: np.ndarray

    @property
    def outputs(self) -> int:
        return len(self.w) // len(self.h)

    @property
    def slice_of_row(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.h)), self.outputs)

    @property
    def energy(self) -> float:
        by_slice = self.w.reshape(len(self.h), self.outputs, -1)
        return float(np.sum((by_slice @ self.h) * by_slice)) or 1.0

    def rows_of(self, array: np.ndarray) -> np.ndarray:
        """Return an array of the weight's shape as (rows, d)."""
        return self.inputs.to_matrix(array).transpose(0, 2, 1).reshape(self.w.shape)

    def weight_of(self, rows: np.ndarray) -> np.ndarray:
        by_slice = rows.reshape(len(self.h), self.outputs, -1)
        return np.ascontiguousarray(self.inputs.from_matrix(by_slice.transpose(0, 2, 1)))


def _inputs_of(weights: dict[str, np.ndarray], evidence: Evidence) -> Mapping[str, LayerInputs]:
    require_question(weights, evidence, "layer_inputs")
    inputs = evidence.layer_inputs()
    missing = next((name for name in weights if name not in inputs), None)
    if missing is not None:
        raise ValueError(
            "Layer-wise reconstruction must be given data, to see the inputs of every layer that "
            f"it prunes. Received: no inputs for '{missing}'."
        )
    return inputs


def _score(problem: _Problem, structure: Structure, rows: str) -> np.ndarray:
    labels = group_labels(structure, problem.weight_of(problem.w).shape)
    kept, first = kept_in_group(structure), None
    if labels is not None and not kept:
        found = row_sets_of(problem.rows_of(labels), problem.outputs)
        if found is not None:
            return problem.weight_of(_block_scores(problem, found, rows))
    if labels is not None and kept:
        first = quotas(problem.rows_of(labels), kept)
    order, losses = remove_elements(problem.w, problem.h, problem.slice_of_row, quotas=first)
    scores = np.empty_like(problem.w)
    np.put_along_axis(scores, order, _rising(losses / problem.energy, rows), axis=1)
    return problem.weight_of(scores)


def _block_scores(problem: _Problem, found: list[RowSet], rows: str) -> np.ndarray:
    """Return (rows, d) scores: the cost of a block's removal divided by its elements."""
    orders, costs = [], []
    inverses = np.linalg.inv(problem.h)
    for chosen in found:
        w, h = problem.w[chosen.rows], problem.h[chosen.slice]
        if chosen.labels.any():
            order, losses = remove_blocks(w.T, inverses[chosen.slice], chosen.labels)
        else:  # nothing is left that could make up for the loss
            order, losses = np.zeros(1, np.int64), np.array([np.sum((w @ h) * w)])
        elements = np.bincount(chosen.labels)[order] * len(chosen.rows)
        orders.append(order)
        costs.append(losses / elements / problem.energy)
    scores = np.empty_like(problem.w)
    for steps in {cost.size for cost in costs}:
        alike = [index for index, cost in enumerate(costs) if cost.size == steps]
        risen = _rising(np.stack([costs[index] for index in alike]), rows)
        for index, values in zip(alike, risen):
            of_block = np.empty(steps)
            of_block[orders[index]] = values
            scores[found[index].rows] = of_block[found[index].labels]
    return scores


def _rising(costs: np.ndarray, rows: str) -> np.ndarray:
    """Return scores that rise along the steps of every row.

    Args:
        costs: (rows, steps) cost of each step.
        rows: "layer": the highest cost up to each step. "row": (step + r) / steps, r in [0, 1)
            being the rank of that cost among those of the same step.
    """
    highest = np.maximum.accumulate(costs, axis=1)
    steps = np.arange(costs.shape[1])
    if rows == "layer":
        return highest * (1.0 + steps * _RAMP)
    rank = np.argsort(np.argsort(highest, axis=0, kind="stable"), axis=0)
    return (steps + rank / len(costs)) / len(steps)
