"""What is asked about derivatives of a loss, and the backend that answers it.

A sample is a micro-batch of one or more examples, and several samples are differentiated at once.
The model runs in inference mode inside a `keras.StatelessScope`, which holds the values
differentiated by and swallows every state update (seeds, recurrent states), so that a pass cannot
change the model, wherever it is interrupted.
"""

import abc
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np

from tfprune.calibration.examples import AnyExamples, Examples
from tfprune.calibration.forward import mean_loss, require_finite, said_of
from tfprune.calibration.losses import LossFunction
from tfprune.support.tensors import Tensor

Arrays = dict[str, np.ndarray]
Tensors = dict[str, Tensor]
Substitution = Callable[[Tensors], list[tuple[keras.Variable, Tensor]]]

BACKENDS = ("tensorflow", "jax")  # that have gradients of samples
_EXAMPLES_AT_ONCE = 32
_BYTES_AT_ONCE = 1 << 28  # of gradients in memory at once
_VECTORS_AT_ONCE = 32


class Derivatives(abc.ABC):
    """Derivatives of a loss by named values that stand in for variables of a model.

    Attributes:
        model: built model; it runs in inference mode and is never changed.
        objective: (y, outputs, sample_weight, replicas) -> scalar, from
            `tfprune.calibration.losses.loss_function`.
        point: returns name -> value to differentiate at, as tensors; called once a pass.
        substitute: named values -> pairs (variable, tensor to read in its place).
        replicas: that a pass runs on.
    """

    replicas = 1

    def __init__(
        self,
        model: keras.Model,
        objective: LossFunction,
        point: Callable[[], Tensors],
        substitute: Substitution,
    ):
        self.model = model
        self.objective = objective
        self.point = point
        self.substitute = substitute

    def check(self, examples: Examples) -> None:
        """Differentiate two examples, so that bad data or models end in one clear error.

        Raises:
            ValueError: if the model cannot take these inputs or the loss these targets, the loss is
                not finite, or no gradient reaches a value.
        """
        batch = examples.take(slice(2))
        with said_of(batch):
            loss, missing = self._first_look(batch)
        require_finite("the loss", loss)
        if missing:
            raise ValueError(
                "Every pruned weight must have a gradient: use differentiable layers, or leave "
                f"these weights out with a rule (path, None). Received: no gradient for {missing}."
            )

    def loss(self, examples: AnyExamples) -> float:
        """Return the mean loss; raises ValueError if it is not finite."""
        return mean_loss(self._loss_of, examples)

    def gradients(self, examples: AnyExamples, size: int = 1) -> Iterator[Arrays]:
        """Yield the gradients of micro-batches, in their order: name -> (k, *shape).

        Args:
            examples: the examples.
            size: of them in a micro-batch; the last of each shape may have fewer.

        Raises:
            ValueError: if a loss or a gradient is not finite.
        """
        for part in examples.parts:
            yield from self._gradients_of_one_shape(part, size)

    def _gradients_of_one_shape(self, examples: Examples, size: int) -> Iterator[Arrays]:
        at_once = self._samples_at_once(examples.count, size)
        at_once += -at_once % self.replicas
        whole = examples.count - examples.count % size
        for start in range(0, whole, at_once * size):
            part = examples.take(slice(start, min(whole, start + at_once * size)))
            samples = [leaf.reshape(-1, size, *leaf.shape[1:]) for leaf in part.leaves()]
            yield self._gradients_of(examples, samples, at_once)
        if whole < examples.count:
            rest = [leaf[np.newaxis] for leaf in examples.take(slice(whole, None)).leaves()]
            yield self._gradients_of(examples, rest, self.replicas)

    def hessian_vector(self, examples: AnyExamples, vectors: Arrays) -> Arrays:
        """Return H v of the mean loss, H over all values together: name -> the value's shape."""
        stacked = {name: vector[np.newaxis] for name, vector in vectors.items()}
        total: Arrays = {}
        for batch in examples.batches(_EXAMPLES_AT_ONCE):
            for name, product in self._products(batch, stacked).items():
                share = product[0] * (batch.count / examples.count)
                total[name] = total[name] + share if name in total else share
        return total

    def hessian_diagonals(
        self, examples: AnyExamples, size: int, probes: int | None = None, seed: int = 0
    ) -> Iterator[tuple[int, Arrays]]:
        """Yield (examples in it, diagonal of the Hessian) of one micro-batch after another.

        Args:
            examples: the examples.
            size: examples in a micro-batch.
            probes: random vectors of +-1 for Hutchinson's estimate; None is exact, with as many
                Hessian-vector products as there are values.
            seed: of the random vectors.
        """
        shapes = {name: tuple(value.shape) for name, value in self.point().items()}
        for batch in examples.batches(size):
            total: Arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            if probes is None:
                directions = _unit_vectors(shapes)
            else:
                directions = _random_signs(shapes, probes, seed)
            for vectors in directions:
                for name, part in self._diagonal_part(batch, vectors).items():
                    total[name] += part
            yield batch.count, {name: value / (probes or 1) for name, value in total.items()}

    @abc.abstractmethod
    def _first_look(self, batch: Examples) -> tuple[float, list[str]]:
        """Return the loss, and the values that it does not depend on differentiably."""

    @abc.abstractmethod
    def _loss_of(self, batch: Examples) -> float:
        """Return the loss of a batch."""

    @abc.abstractmethod
    def _differentiated(
        self, examples: Examples, samples: list[np.ndarray]
    ) -> tuple[np.ndarray, Arrays]:
        """Return losses and gradients of samples, stacked.

        Args:
            examples: that say how leaves are packed.
            samples: leaves with an axis of samples in front.
        """

    @abc.abstractmethod
    def _products(self, batch: Examples, vectors: Arrays) -> Arrays:
        """Return H v of a batch for each of the vectors: name -> (vectors, *shape)."""

    @abc.abstractmethod
    def _diagonal_part(self, batch: Examples, vectors: Arrays) -> Arrays:
        """Return the sum over the vectors of v * H v: name -> the value's shape."""

    def _gradients_of(self, examples: Examples, samples: list[np.ndarray], width: int) -> Arrays:
        """Differentiate up to `width` samples, the last one repeated to fill the compiled shape."""
        count = len(samples[0])
        full = [np.concatenate([s, np.repeat(s[-1:], width - count, axis=0)]) for s in samples]
        losses, gradients = self._differentiated(examples, full)
        require_finite("the loss", losses)
        found = {name: gradient[:count] for name, gradient in gradients.items()}
        for name, gradient in found.items():
            require_finite(f"the gradient of '{name}'", gradient)
        return found

    def _samples_at_once(self, count: int, size: int) -> int:
        width = 4 * sum(int(np.prod(value.shape)) for value in self.point().values())
        bound = min(_EXAMPLES_AT_ONCE // size, _BYTES_AT_ONCE // width, count // size)
        return max(1, bound)


def derivatives_of(
    model: keras.Model,
    objective: LossFunction,
    point: Callable[[], Tensors],
    substitute: Substitution,
) -> Derivatives:
    """Return those of the active backend; the arguments are its attributes.

    Raises:
        ValueError: if it has none.
    """
    if require_backend() == "jax":
        from tfprune.calibration.derivatives.transforms import JaxDerivatives

        return JaxDerivatives(model, objective, point, substitute)
    from tfprune.calibration.derivatives.tape import TensorFlowDerivatives

    return TensorFlowDerivatives(model, objective, point, substitute)


def require_backend() -> str:
    """Return the active backend once it is known to have gradients of samples.

    Raises:
        ValueError: if it has none.

    Example:
        >>> require_backend() in ("tensorflow", "jax")
        True
    """
    name = keras.config.backend()
    if name not in BACKENDS:
        raise ValueError(
            "Gradient-based scores need the TensorFlow or the JAX backend. "
            f"Received: KERAS_BACKEND={name}."
        )
    return str(name)


def _unit_vectors(shapes: dict[str, tuple[int, ...]]) -> Iterator[Arrays]:
    """Yield the unit vectors of all coordinates, some at a time: name -> (vectors, *shape)."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    for start in range(0, int(ends[-1]), _VECTORS_AT_ONCE):
        rows = np.eye(_VECTORS_AT_ONCE, int(ends[-1]), start, np.float32)
        parts: Sequence[np.ndarray] = np.split(rows, ends[:-1], axis=1)
        yield {name: part.reshape(-1, *shapes[name]) for name, part in zip(shapes, parts)}


def _random_signs(shapes: dict[str, tuple[int, ...]], probes: int, seed: int) -> Iterator[Arrays]:
    random = np.random.default_rng(seed)
    for _ in range(probes):
        yield {
            name: random.choice(np.array([-1, 1], np.float32), (1, *shape))
            for name, shape in shapes.items()
        }
