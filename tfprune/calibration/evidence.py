"""What scorers ask about a model, measured on examples."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np

from tfprune.calibration.derivatives import Derivatives
from tfprune.calibration.example_source import ExampleSource
from tfprune.calibration.examples import AnyExamples
from tfprune.calibration.input_moments import layer_inputs, moment_shapes
from tfprune.calibration.inputs_by_parts import InputsByParts
from tfprune.calibration.losses import loss_function
from tfprune.calibration.passes import Passes
from tfprune.keras_graph.coupling import coupled_among
from tfprune.scorers.inputs import LayerInputs
from tfprune.sparsity.structures import Structure
from tfprune.support.arrays import host_array
from tfprune.support.disk_arrays import disk_array, release
from tfprune.support.long_work import progress
from tfprune.support.tensors import Data, Loss, Nest
from tfprune.wrapping.cohorts import cohorts_of
from tfprune.wrapping.pruned_layer import pruned_layers

Arrays = dict[str, np.ndarray]
Result = TypeVar("Result")

MEMORY_BUDGET = 4 << 30  # bytes of per-example gradients held in memory
_BATCH = 32  # examples differentiated at once where only their mean is asked for
_EXACT = 20_000  # coordinates up to which a Hessian's diagonal is computed exactly
_INPUT_BATCH = 64  # examples at once where the inputs of layers are recorded


@dataclasses.dataclass
class MeasuredEvidence:
    """What scorers ask, at the present weights; see `tfprune.scorers.protocol.Evidence`.

    What is expensive is kept, so make a new one when the weights have changed.

    Args:
        passes: of the model.
        taken: the examples.
        masks: name -> boolean array, True = kept; its keys are the weights asked about.
        structures: name -> structure.
        memory_budget: bytes of per-example gradients to hold in memory, of which more goes to disk,
            and of moments of layers' inputs, of which more are measured one after another.
        quiet: show no progress bar.
    """

    passes: Passes
    taken: AnyExamples
    masks: Arrays
    structures: Mapping[str, Structure]
    memory_budget: float = MEMORY_BUDGET
    quiet: bool = False
    _kept: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def examples(self) -> int:
        return self.taken.count

    def only(self, names: Sequence[str]) -> "MeasuredEvidence":
        """Return evidence about some of the weights, which shares what has been computed."""
        masks = {name: self.masks[name] for name in names}
        return dataclasses.replace(self, masks=masks)

    def mean(self) -> Arrays:
        return self._own(self._once("mean", lambda: self._mean(self.passes.by_weight)))

    def dense_mean(self) -> Arrays:
        return self._own(self._once("dense_mean", lambda: self._mean(self.passes.by_masked_weight)))

    def batches(self, size: int) -> Iterator[Arrays]:
        for gradients in self._shown("Gradients", size, self.passes.by_weight):
            yield self._own(gradients)

    def per_example(self) -> Arrays:
        return self._own(self._once("per_example", self._per_example))

    def hessian_diagonal(self, probes: int | None = None) -> Arrays:
        size = sum(mask.size for mask in self.masks.values())
        if probes is None and size > _EXACT:
            raise ValueError(
                f"`probes` must be given for the Hessian's diagonal of more than {_EXACT:,} "
                f"weights, whose exact computation takes too long. Received: {size:,} weights."
            )
        return self._own(self._once(f"diagonal {probes}", lambda: self._diagonal(probes)))

    def hessian_vector_product(self, vectors: Arrays) -> Arrays:
        wanted = {
            name: np.asarray(vectors.get(name, np.zeros(tuple(weight.shape), np.float32)))
            for name, weight in self.passes.weights.items()
        }
        return self._own(self.passes.by_weight.hessian_vector(self.taken, wanted))

    def synaptic_flow(self) -> Arrays:
        return self._own(self.passes.synaptic_flow(self.taken.parts[0].x))

    def layer_inputs(self) -> Mapping[str, LayerInputs]:
        return self._once("inputs " + " ".join(self.masks), self._inputs_by_parts)

    def gates(self, size: int) -> Iterator[Arrays]:
        return self._shown("Gate gradients", size, self.passes.gates(tuple(self.masks)))

    def gate_curvature(self, size: int) -> Iterator[Arrays]:
        diagonals = self.passes.gates(tuple(self.masks)).hessian_diagonals(self.taken, size)
        with progress("Gate curvature", total=self.examples, quiet=self.quiet) as advance:
            for count, diagonal in diagonals:
                yield {name: values[np.newaxis] for name, values in diagonal.items()}
                advance(by=count)

    def channel_groups(self) -> list[frozenset[str]]:
        return coupled_among(self.passes.model, self._own(self.passes.weights))

    def _own(self, found: Mapping[str, Result]) -> dict[str, Result]:
        return {name: found[name] for name in self.masks}

    def _once(self, key: str, compute: Callable[[], Result]) -> Result:
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    def _shown(self, text: str, size: int, passes: Derivatives) -> Iterator[Arrays]:
        with progress(text, total=self.examples, quiet=self.quiet) as advance:
            for gradients in passes.gradients(self.taken, size):
                yield gradients
                advance(by=len(next(iter(gradients.values()))) * size)

    def _mean(self, passes: Derivatives) -> Arrays:
        total: Arrays = {}
        # Only the last micro-batch of a shape may be smaller than the others.
        sizes = iter([batch.count for batch in self.taken.batches(_BATCH)])
        for gradients in self._shown("Gradients", _BATCH, passes):
            count = len(next(iter(gradients.values())))
            shares = np.array([next(sizes) for _ in range(count)], float) / self.examples
            for name, values in gradients.items():
                total[name] = total.get(name, 0.0) + np.tensordot(shares, values, 1)
        return {name: value.astype(np.float32) for name, value in total.items()}

    def _per_example(self) -> Arrays:
        shapes = {n: (self.examples, *w.shape) for n, w in self.passes.weights.items()}
        size = 4 * sum(int(np.prod(shape)) for shape in shapes.values())
        if size <= self.memory_budget:
            found = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        else:
            found = self._on_disk(shapes, size)
        start = 0
        for gradients in self._shown("Gradients", 1, self.passes.by_weight):
            for name, values in gradients.items():
                found[name][start : start + len(values)] = values
                release(found[name])
            start += len(values)
        return found

    def _on_disk(self, shapes: dict[str, tuple[int, ...]], size: int) -> Arrays:
        try:
            return {name: disk_array(shape, np.float32) for name, shape in shapes.items()}
        except OSError as error:
            raise ValueError(
                f"`memory_budget` must hold the gradients of single examples, {size:,} bytes, or "
                f"the folder {error.filename!r} must have room for them ({error.strerror}): name "
                "another one in the environment variable TMPDIR, or use fewer `examples`. "
                f"Received: memory_budget={self.memory_budget:,}, examples={self.examples}."
            ) from error

    def _inputs_by_parts(self) -> InputsByParts:
        weights = {name: self.passes.weights[name] for name in self.masks}
        shapes = moment_shapes(self.passes.model, weights)
        return InputsByParts(shapes, self.memory_budget, self._inputs_of)

    def _inputs_of(self, names: Sequence[str]) -> dict[str, LayerInputs]:
        weights = {name: self.passes.weights[name] for name in names}
        with progress("Layer inputs", total=self.examples, quiet=self.quiet) as advance:

            def batches() -> Iterator[Nest]:
                for batch in self.taken.batches(_INPUT_BATCH):
                    yield batch.x
                    advance(by=batch.count)

            count = sum(1 for _ in self.taken.batches(_INPUT_BATCH))
            return layer_inputs(self.passes.model, weights, batches(), count=count)

    def _diagonal(self, probes: int | None) -> Arrays:
        total = {n: np.zeros(tuple(w.shape)) for n, w in self.passes.weights.items()}
        passes = self.passes.by_weight.hessian_diagonals(self.taken, _BATCH, probes)
        with progress("Curvature", total=self.examples, quiet=self.quiet) as advance:
            for count, diagonal in passes:
                for name, values in diagonal.items():
                    total[name] += values * (count / self.examples)
                advance(by=count)
        return {name: value.astype(np.float32) for name, value in total.items()}


def evidence_of(
    model: keras.Model,
    data: Data,
    loss: Loss = None,
    *,
    examples: int | None = 1000,
    seed: int = 0,
    memory_budget: int = MEMORY_BUDGET,
    quiet: bool = True,
) -> MeasuredEvidence:
    """Return the evidence about all pruned weights of a model, as a scorer gets them.

    Args:
        model: with `PrunedLayer`s.
        data: as in `tfprune.one_shot`.
        loss: as in `keras.Model.compile`; the model's own where None.
        examples: most examples used, >= 2; None uses all.
        seed: of the choice of examples.
        memory_budget: bytes of per-example gradients to hold in memory.
        quiet: show no progress bar.

    Raises:
        ValueError: if the data, the model and the loss do not fit each other.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="a")])
        >>> pruned = tfprune.prune(model, tfprune.OneShot(0.5))
        >>> found = evidence_of(pruned, (np.ones((8, 4)), np.ones((8, 1))), "mse")
        >>> [gradient.shape for gradient in found.per_example().values()]
        [(8, 4, 1)]
    """
    cohorts = cohorts_of(pruned_layers(model))
    weights = {name: weight for cohort in cohorts for name, weight in cohort.weights.items()}
    masks = {name: held for cohort in cohorts for name, held in cohort.masks.items()}
    passes = Passes(model, weights, masks, loss_function(model, loss))
    taken = ExampleSource(data).take_varying(examples, seed=seed)
    passes.check(taken, differentiate=True)
    present = {name: host_array(held[0].value).copy() for name, held in masks.items()}
    structures = {name: kind for cohort in cohorts for name, kind in cohort.structures.items()}
    return MeasuredEvidence(passes, taken, present, structures, memory_budget, quiet)
