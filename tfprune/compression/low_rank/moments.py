"""What the layers to be factorized see of the data: the moments H = X^T X of their inputs."""

import math
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np

from tfprune.calibration.example_source import ExampleSource
from tfprune.calibration.examples import AnyExamples
from tfprune.calibration.forward import said_of
from tfprune.calibration.input_moments import layer_inputs, moment_shapes
from tfprune.calibration.inputs_by_parts import InputsByParts
from tfprune.scorers.inputs import LayerInputs
from tfprune.support.long_work import progress
from tfprune.support.tensors import Data, Nest

_BATCH = 64  # examples at once, where the model leaves that open


def taken_from(model: keras.Model, data: Data, examples: int | None, seed: int) -> AnyExamples:
    """Return the examples that moments are measured on, once the model has taken some.

    Args:
        model: built.
        data: as in `tfprune.factorize`.
        examples: most of them; None takes all.
        seed: of the choice.

    Raises:
        TypeError, ValueError: if there are too few, or the model does not take them.
    """
    source = ExampleSource(data, targets=False, inputs=len(model.inputs))
    taken = source.take_varying(examples, seed=seed)
    firsts = [(part, next(batches(model, part), None)) for part in taken.parts]
    if all(first is None for _, first in firsts):
        raise ValueError(
            f"`data` must hold a batch of {model.inputs[0].shape[0]} examples, for which "
            f"'{model.name}' is made. Received: {taken.count} examples."
        )
    for part, first in firsts:
        with said_of(part), keras.StatelessScope():
            if first is not None:
                model(first, training=False)
    return taken


def batches(model: keras.Model, taken: AnyExamples) -> Iterator[Nest]:
    """Yield inputs in batches of the size that the model is made for, whole ones alone then."""
    fixed = model.inputs[0].shape[0]
    for batch in taken.batches(fixed or _BATCH):
        if fixed is None or batch.count == fixed:
            yield batch.x


def moments_of(
    model: keras.Model,
    weights: Mapping[str, keras.Variable],
    taken: AnyExamples,
    *,
    memory_budget: float,
    quiet: bool,
) -> Mapping[str, LayerInputs]:
    """Return name -> what each weight sees, measured when it is asked for.

    Args:
        model: built.
        weights: name -> variable.
        taken: examples.
        memory_budget: bytes of moments to hold at once; more take further passes.
        quiet: show no progress.

    Raises:
        ValueError: naming a layer whose inputs are not known, or too many.
    """

    def measure(names: Sequence[str]) -> Mapping[str, LayerInputs]:
        count = math.ceil(taken.count / (model.inputs[0].shape[0] or _BATCH))
        asked = {name: weights[name] for name in names}
        with progress("Layer inputs", total=count, quiet=quiet) as advance:

            def counted() -> Iterator[Nest]:
                for batch in batches(model, taken):
                    yield batch
                    advance()

            return layer_inputs(model, asked, counted(), count=count)

    return InputsByParts(moment_shapes(model, weights), memory_budget, measure)


def as_matrix(seen: LayerInputs) -> np.ndarray:
    """Return the moments of one product, (d, d); of a table, how often each row is taken, (d,)."""
    slices, size, _ = seen.moments.shape
    return seen.moments[:, 0, 0] if size == 1 < slices else seen.moments[0]
