"""Running a differentiating function over samples: vectorized, in a loop, or on replicas."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import tensorflow as tf

Tensors = dict[str, tf.Tensor]
Elements = TypeVar("Elements")
Result = TypeVar("Result")

# Samples of models with these operations go one by one. Vectorized products can have rank 4 with an
# axis of size 1, which corrupts memory in TensorFlow 2.21 (tensorflow/tensorflow#117700); gradients
# of vectorized loops with timestep masks are not supported. Grouped convolutions over three axes,
# which Keras puts into functions of their own, are given kernels of other shapes.
_PRODUCTS = {"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"}
_NOT_VECTORIZED = _PRODUCTS | {"While", "StatelessWhile"}
_NOT_IN_FUNCTIONS = {"Conv3D"}


def map_samples(function: Callable[[Elements], Result], elements: Elements) -> Result:
    """Return the results of the function for each element along axis 0, stacked."""
    first = tf.nest.map_structure(lambda leaf: leaf[0], elements)
    if tf.nest.flatten(elements)[0].shape[0] == 1:
        return tf.nest.map_structure(lambda value: value[None], function(first))
    specs = tf.nest.map_structure(lambda leaf: tf.TensorSpec(leaf.shape, leaf.dtype), first)
    traced = tf.function(function).get_concrete_function(specs)
    graph = traced.graph.as_graph_def()
    inside = {node.op for part in graph.library.function for node in part.node_def}
    found = {node.op for node in graph.node} | inside
    if _NOT_VECTORIZED.isdisjoint(found) and _NOT_IN_FUNCTIONS.isdisjoint(inside):
        return tf.vectorized_map(function, elements)
    outputs = tf.nest.map_structure(
        lambda value: tf.TensorSpec(value.shape, value.dtype), traced.structured_outputs
    )
    return tf.map_fn(traced, elements, fn_output_signature=outputs, parallel_iterations=1)


def on_replicas(
    strategy: tf.distribute.Strategy, compute: Callable[..., Result], samples: list[np.ndarray]
) -> Result:
    """Run on an equal share of the samples on each replica and join the results in order."""
    share = len(samples[0]) // strategy.num_replicas_in_sync

    def part(leaf: np.ndarray) -> tf.Tensor:
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.convert_to_tensor(
                leaf[context.replica_id_in_sync_group * share :][:share]
            )
        )

    def joined(value: tf.Tensor) -> tf.Tensor:
        local = strategy.experimental_local_results(value)
        if len(local) == strategy.num_replicas_in_sync:
            return tf.concat(local, axis=0)
        return strategy.gather(value, axis=0)  # from other workers

    results = strategy.run(compute, args=([part(leaf) for leaf in samples],))
    return tf.nest.map_structure(joined, results)


def tensors(leaves: list[np.ndarray]) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(leaf) for leaf in leaves]


@contextlib.contextmanager
def quiet_about_compiling() -> Iterator[None]:
    """Hide notes on what TensorFlow compiles, as nothing is wrong.

    They are about operations that `vectorized_map` runs in a loop, and about one function that is
    compiled for many models.
    """
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
