"""The same training with tfprune.compat.tfmot here and with the other package elsewhere."""

import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import keras
import numpy as np

from tests.support.compat import reference
from tfprune.compat import tfmot


@functools.cache
def worker():
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def theirs(function, *args, **kwargs):
    """Calls a function of `reference` in a process that has the other package."""
    return worker().submit(function, *args, **kwargs).result()


def training(kernels, x, y, schedule, options=None, batch_size=1, learning_rate=0.001):
    """The same as reference.training, here; masks before each batch are recorded as well."""
    name, arguments = schedule
    build = reference.dense_model if kernels[0].ndim == 2 else reference.conv_model
    original = build(keras, kernels)
    pruned = tfmot.prune_low_magnitude(
        original, pruning_schedule=getattr(tfmot, name)(**arguments), **(options or {})
    )
    record = {"used": [], "masks": [], "weights": []}

    def masks():
        return [own.mask.numpy() for layer in pruned.layers for own in layer.pruned]

    def begin(batch, logs=None):
        record["used"].append(masks())

    def end(batch, logs=None):
        record["masks"].append(masks())
        record["weights"].append([w.numpy() for w in pruned.trainable_variables])

    pruned.compile(keras.optimizers.SGD(learning_rate), "mse")
    recorder = keras.callbacks.LambdaCallback(on_train_batch_begin=begin, on_train_batch_end=end)
    callbacks = [tfmot.UpdatePruningStep(), recorder]
    pruned.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=callbacks)
    record["stripped"] = tfmot.strip_pruning(pruned).get_weights()
    record["original"] = original.get_weights()
    return record


def regression(inputs, outputs, samples=9):
    rng = np.random.default_rng(1)
    shape = (samples, inputs) if isinstance(inputs, int) else (samples, *inputs)
    x = rng.normal(size=shape).astype(np.float32)
    targets = (samples, outputs) if isinstance(outputs, int) else (samples, *outputs)
    return x, rng.normal(size=targets).astype(np.float32)


def steps_later(schedule, by=1):
    name, arguments = schedule
    moved = {
        key: value + by if key in ("begin_step", "end_step") else value
        for key, value in arguments.items()
    }
    return name, moved


def assert_equal_masks(ours, other):
    assert len(ours) == len(other)
    for step, (left, right) in enumerate(zip(ours, other)):
        for index, (a, b) in enumerate(zip(left, right, strict=True)):
            np.testing.assert_array_equal(a, b, err_msg=f"step {step}, layer {index}")
