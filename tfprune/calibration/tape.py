"""Gradients and curvature of a model's loss by chosen values: the only user of `tf.GradientTape`.

Passes run compiled, over samples: a sample is a micro-batch of one or more examples, and several
samples are differentiated at once by `tf.vectorized_map`. The model runs in inference mode inside a
`keras.StatelessScope`, which holds the values differentiated by and swallows every state update
(seeds, recurrent states), so that a pass cannot change the model, wherever it is interrupted.

On a ResNet-20 a chunk of 32 costs 7.5 processor milliseconds for one example's gradient, a compiled
loop over single examples 12, an eager tape 111 (`scripts/bench/scorers/gradients.py`).
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf

from tfprune.calibration.examples import Examples
from tfprune.calibration.forward import LOSS_BATCH, require_finite, said_of
from tfprune.calibration.losses import LossFunction
from tfprune.calibration.samples import (
    Tensors,
    map_samples,
    on_replicas,
    quiet_about_compiling,
    random_signs,
    tensors,
    unit_vectors,
)
from tfprune.support.tensors import Nest

Arrays = dict[str, np.ndarray]
Batch = tuple[Nest, Nest, Nest]  # x, y, sample_weight
Result = TypeVar("Result")
Substitution = Callable[[Tensors], list[tuple[keras.Variable, tf.Tensor]]]

_EXAMPLES_AT_ONCE = 32
_BYTES_AT_ONCE = 1 << 28  # of gradients in memory at once


class TapePasses:
    """Derivatives of a loss by named values that stand in for variables of a model.

    Args:
        model: built model; it runs in inference mode and is never changed.
        loss: (y, outputs, sample_weight, replicas) -> scalar, from
            `tfprune.calibration.losses.loss_function`.
        point: returns name -> value to differentiate at, as tensors; called once a pass.
        substitute: named values -> pairs (variable, tensor to read in its place).
    """

    def __init__(
        self,
        model: keras.Model,
        loss: LossFunction,
        point: Callable[[], Tensors],
        substitute: Substitution,
    ):
        self._model = model
        self._loss = loss
        self._point = point
        self._substitute = substitute
        self._compiled: dict[tuple[str, str], Callable[..., tf.Tensor]] = {}

    def check(self, examples: Examples) -> None:
        """Differentiate two examples, so that bad data or models end in one clear error.

        Raises:
            ValueError: if the model cannot take these inputs or the loss these targets, the loss is
                not finite, or no gradient reaches a value.
        """
        batch = examples.take(slice(2))
        with said_of(batch):
            loss, gradients = self._on_first_replica(
                lambda leaves: self._gradients_here(batch.pack(leaves)), tensors(batch.leaves())
            )
        require_finite("the loss", loss)
        missing = [name for name, gradient in gradients.items() if gradient is None]
        if missing:
            raise ValueError(
                "Every pruned weight must have a gradient: use differentiable layers, or leave "
                f"these weights out with a rule (path, None). Received: no gradient for {missing}."
            )

    def loss(self, examples: Examples) -> float:
        """Return the mean loss; raises ValueError if it is not finite."""
        compute = self._compile("loss", examples, self._loss_here)
        total = 0.0
        for batch in examples.batches(LOSS_BATCH):
            value = self._on_first_replica(compute, tensors(batch.leaves()))
            require_finite("the loss", value)
            total += float(value) * batch.count
        return total / examples.count

    def gradients(self, examples: Examples, size: int = 1) -> Iterator[Arrays]:
        """Yield the gradients of micro-batches of `size` examples: name -> (k, *shape).

        Raises:
            ValueError: if a loss or a gradient is not finite.
        """
        compute = self._compile("gradients", examples, self._gradients_here, over_samples=True)
        replicas = self._strategy.num_replicas_in_sync if self._strategy else 1
        at_once = self._samples_at_once(examples.count, size)
        at_once += -at_once % replicas
        whole = examples.count - examples.count % size
        for start in range(0, whole, at_once * size):
            part = examples.take(slice(start, min(whole, start + at_once * size)))
            samples = [leaf.reshape(-1, size, *leaf.shape[1:]) for leaf in part.leaves()]
            yield self._run(compute, samples, at_once)
        if whole < examples.count:
            rest = [leaf[np.newaxis] for leaf in examples.take(slice(whole, None)).leaves()]
            yield self._run(compute, rest, replicas)

    def hessian_vector(self, examples: Examples, vectors: Arrays) -> Arrays:
        """Return H v of the mean loss, H over all values together: name -> the value's shape."""
        compute = self._compile("hessian", examples, self._hessian_products)
        stacked = {name: tf.convert_to_tensor(vector)[None] for name, vector in vectors.items()}
        total: Arrays = {}
        for batch in examples.batches(_EXAMPLES_AT_ONCE):
            products = self._on_first_replica(compute, tensors(batch.leaves()), stacked)
            for name, product in products.items():
                share = product[0].numpy() * (batch.count / examples.count)
                total[name] = total[name] + share if name in total else share
        return total

    def hessian_diagonals(
        self, examples: Examples, size: int, probes: int | None = None, seed: int = 0
    ) -> Iterator[tuple[int, Arrays]]:
        """Yield (examples in it, diagonal of the Hessian) of one micro-batch after another.

        Args:
            examples: the examples.
            size: examples in a micro-batch.
            probes: random vectors of +-1 for Hutchinson's estimate; None is exact, with as many
                Hessian-vector products as there are values.
            seed: of the random vectors.
        """
        compute = self._compile("diagonal", examples, self._diagonal_part)
        shapes = {name: tuple(value.shape) for name, value in self._point().items()}
        for batch in examples.batches(size):
            leaves = tensors(batch.leaves())
            total: Arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            if probes is None:
                directions = unit_vectors(shapes)
            else:
                directions = random_signs(shapes, probes, seed)
            for vectors in directions:
                for name, part in self._on_first_replica(compute, leaves, vectors).items():
                    total[name] += part.numpy()
            yield batch.count, {name: value / (probes or 1) for name, value in total.items()}

    def _loss_here(self, batch: Batch) -> tf.Tensor:
        return self._loss_at(self._point(), batch)

    def _loss_at(self, values: Tensors, batch: Batch) -> tf.Tensor:
        x, y, sample_weight = batch
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with keras.StatelessScope(state_mapping=self._substitute(values)):
            return self._loss(y, self._model(x, training=False), sample_weight, replicas)

    def _gradients_here(self, batch: Batch) -> tuple[tf.Tensor, Tensors]:
        return self._differentiate(self._point(), batch)

    def _differentiate(self, point: Tensors, batch: Batch) -> tuple[tf.Tensor, Tensors]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(point)
            loss = self._loss_at(point, batch)
        return loss, tf.nest.map_structure(_dense, tape.gradient(loss, point))

    def _hessian_products(self, batch: Batch, vectors: Tensors) -> Tensors:
        """Return H v for each of the vectors: name -> (vectors, *shape)."""

        def product(vector: Tensors) -> Tensors:
            point = self._point()
            with tf.GradientTape(watch_accessed_variables=False) as outer:
                outer.watch(point)
                _, gradients = self._differentiate(point, batch)
            return outer.gradient(
                gradients,
                point,
                {name: tf.cast(v, point[name].dtype) for name, v in vector.items()},
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )

        return map_samples(product, vectors)

    def _diagonal_part(self, batch: Batch, vectors: Tensors) -> Tensors:
        products = self._hessian_products(batch, vectors)
        return {
            name: tf.reduce_sum(tf.cast(v, products[name].dtype) * products[name], axis=0)
            for name, v in vectors.items()
        }

    def _compile(
        self,
        kind: str,
        examples: Examples,
        function: Callable[..., Result],
        *,
        over_samples: bool = False,
    ) -> Callable[..., Result]:
        """Return (leaves, ...) -> function(batch, ...) compiled, once for a structure of batches.

        With `over_samples` the leaves have an axis of samples in front, and so has the result.
        """
        key = (kind, repr(examples.pack(list(range(len(examples.leaves()))))))
        if key not in self._compiled:

            @tf.function
            def compiled(leaves: list[tf.Tensor], *arguments: Tensors) -> Result:
                def one(sample: list[tf.Tensor]) -> Result:
                    return function(examples.pack(sample), *arguments)

                if not over_samples:
                    return one(leaves)
                return map_samples(one, leaves)

            self._compiled[key] = compiled
        return self._compiled[key]

    @property
    def _strategy(self) -> tf.distribute.Strategy | None:
        """The model's `tf.distribute.Strategy` if it has several replicas."""
        strategy = getattr(self._model, "distribute_strategy", None)
        several = strategy is not None and strategy.num_replicas_in_sync > 1
        return strategy if several else None

    def _on_first_replica(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call the function where the variables of a distributed model can be read."""
        with quiet_about_compiling():
            if self._strategy is None:
                return function(*arguments)
            results = self._strategy.run(function, args=arguments)
        return tf.nest.map_structure(
            lambda value: self._strategy.experimental_local_results(value)[0], results
        )

    def _samples_at_once(self, count: int, size: int) -> int:
        width = 4 * sum(int(np.prod(value.shape)) for value in self._point().values())
        bound = min(_EXAMPLES_AT_ONCE // size, _BYTES_AT_ONCE // width, count // size)
        return max(1, bound)

    def _run(
        self,
        compute: Callable[..., tuple[tf.Tensor, Tensors]],
        samples: list[np.ndarray],
        width: int,
    ) -> Arrays:
        """Differentiate up to `width` samples, the last one repeated to fill the compiled shape."""
        count = len(samples[0])
        full = [np.concatenate([s, np.repeat(s[-1:], width - count, axis=0)]) for s in samples]
        with quiet_about_compiling():
            if self._strategy is None:
                losses, gradients = compute(tensors(full))
            else:
                losses, gradients = on_replicas(self._strategy, compute, full)
        require_finite("the loss", losses)
        found = {name: gradient.numpy()[:count] for name, gradient in gradients.items()}
        for name, gradient in found.items():
            require_finite(f"the gradient of '{name}'", gradient)
        return found


def _dense(gradient: tf.Tensor | None) -> tf.Tensor | None:
    """Return a gradient as a tensor; that of an embedding comes as slices."""
    return None if gradient is None else tf.convert_to_tensor(gradient)
