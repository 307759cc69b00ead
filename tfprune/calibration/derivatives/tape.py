"""Derivatives on TensorFlow: the only user of `tf.GradientTape`.

Passes run compiled; several samples are differentiated at once by `tf.vectorized_map`.

On a ResNet-20 a chunk of 32 costs 7.5 processor milliseconds for one example's gradient, a compiled
loop over single examples 12, an eager tape 111 (`scripts/bench/scorers/gradients.py`).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from tfprune.calibration.derivatives.protocol import Arrays, Derivatives
from tfprune.calibration.derivatives.samples import (
    Tensors,
    map_samples,
    on_replicas,
    quiet_about_compiling,
    tensors,
)
from tfprune.calibration.examples import Examples
from tfprune.support.tensors import Nest

Batch = tuple[Nest, Nest, Nest]  # x, y, sample_weight
Result = TypeVar("Result")


class TensorFlowDerivatives(Derivatives):
    """Those of TensorFlow, on each replica of the model's strategy."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self._compiled: dict[tuple[str, str], Callable[..., tf.Tensor]] = {}
        self.replicas = self._strategy.num_replicas_in_sync if self._strategy else 1

    def _first_look(self, batch: Examples) -> tuple[float, list[str]]:
        loss, gradients = self._on_first_replica(
            lambda leaves: self._gradients_here(batch.pack(leaves)), tensors(batch.leaves())
        )
        return float(loss), [name for name, found in gradients.items() if found is None]

    def _loss_of(self, batch: Examples) -> float:
        compute = self._compile("loss", batch, self._loss_here)
        return float(self._on_first_replica(compute, tensors(batch.leaves())))

    def _differentiated(
        self, examples: Examples, samples: list[np.ndarray]
    ) -> tuple[np.ndarray, Arrays]:
        compute = self._compile("gradients", examples, self._gradients_here, over_samples=True)
        with quiet_about_compiling():
            if self._strategy is None:
                losses, gradients = compute(tensors(samples))
            else:
                losses, gradients = on_replicas(self._strategy, compute, samples)
        return losses, _arrays(gradients)

    def _products(self, batch: Examples, vectors: Arrays) -> Arrays:
        compute = self._compile("hessian", batch, self._hessian_products)
        return _arrays(self._on_first_replica(compute, tensors(batch.leaves()), _given(vectors)))

    def _diagonal_part(self, batch: Examples, vectors: Arrays) -> Arrays:
        compute = self._compile("diagonal", batch, self._products_by_vectors)
        return _arrays(self._on_first_replica(compute, tensors(batch.leaves()), _given(vectors)))

    def _loss_here(self, batch: Batch) -> tf.Tensor:
        return self._loss_at(self.point(), batch)

    def _loss_at(self, values: Tensors, batch: Batch) -> tf.Tensor:
        x, y, sample_weight = batch
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with keras.StatelessScope(state_mapping=self.substitute(values)):
            return self.objective(y, self.model(x, training=False), sample_weight, replicas)

    def _gradients_here(self, batch: Batch) -> tuple[tf.Tensor, Tensors]:
        return self._differentiate(self.point(), batch)

    def _differentiate(self, point: Tensors, batch: Batch) -> tuple[tf.Tensor, Tensors]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(point)
            loss = self._loss_at(point, batch)
        return loss, tf.nest.map_structure(_dense, tape.gradient(loss, point))

    def _hessian_products(self, batch: Batch, vectors: Tensors) -> Tensors:
        """Return H v for each of the vectors: name -> (vectors, *shape)."""

        def product(vector: Tensors) -> Tensors:
            point = self.point()
            with tf.GradientTape(watch_accessed_variables=False) as outer:
                outer.watch(point)
                _, gradients = self._differentiate(point, batch)
            products = outer.gradient(
                gradients,
                point,
                {name: tf.cast(v, point[name].dtype) for name, v in vector.items()},
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return tf.nest.map_structure(_dense, products)

        return map_samples(product, vectors)

    def _products_by_vectors(self, batch: Batch, vectors: Tensors) -> Tensors:
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
        key = (kind, examples.structure)
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
        strategy = getattr(self.model, "distribute_strategy", None)
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


def _dense(gradient: tf.Tensor | None) -> tf.Tensor | None:
    """Return a gradient as a tensor; that of an embedding comes as slices."""
    return None if gradient is None else tf.convert_to_tensor(gradient)


def _given(arrays: Arrays) -> Tensors:
    return {name: tf.convert_to_tensor(array) for name, array in arrays.items()}


def _arrays(found: Tensors) -> Arrays:
    return {name: value.numpy() for name, value in found.items()}
