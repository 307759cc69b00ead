"""Small functions shared by tests."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np

import tfprune


def fit(model, data, *, epochs=1, batch_size=8, callbacks=None, optimizer="sgd", **options):
    """Compile unless compiled with these options before, and fit in a fixed order."""
    if optimizer is not None:
        model.compile(optimizer, "mse", **options)
    callbacks = [tfprune.UpdatePruningStep()] if callbacks is None else callbacks
    model.fit(
        *data, epochs=epochs, batch_size=batch_size, shuffle=False, verbose=0, callbacks=callbacks
    )
    return model


def sparsity(model, name):
    """Fraction of exact zeros in the kernel of a layer of the stripped model."""
    kernel = tfprune.strip_pruning(model).get_layer(name).kernel
    return 1.0 - np.count_nonzero(kernel.numpy()) / kernel.numpy().size


def loss_of_keras(student, teacher, data, loss, *, temperature, alpha):
    """The loss of Keras's own distillation, with logits compared by their divergence."""
    theirs = keras.distillation.Distiller(
        teacher,
        student,
        # By its name it is taken of the logits themselves.
        keras.distillation.LogitsDistillation(temperature, loss=keras.losses.KLDivergence()),
        student_loss_weight=1.0 - alpha,
    )
    theirs.compile("sgd", loss)
    return float(theirs.compute_loss(*data, student(data[0])))


def dense(*units):
    """Return layers of so many units, named by their places."""
    return [keras.layers.Dense(unit, name=f"dense_{index}") for index, unit in enumerate(units)]


class SparsityAtBatchEnd(keras.callbacks.Callback):
    """Notes, after each batch, the step and the sparsity of a layer as it would be stripped."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        self.seen.append((step, sparsity(self.model, self.name)))


class NamedByCount(keras.Model):
    """A subclassed model whose layers Keras names by a count, so that a copy's are named anew."""

    def __init__(self, **options):
        super().__init__(**options)
        self.one, self.two = keras.layers.Dense(4), keras.layers.Dense(2)

    def call(self, x):
        return self.two(self.one(x))


def same_values(first, second):
    """Whether two models hold bit-identical variables in the same order.

    The state of random seeds is left out: Keras itself does not save it.
    """
    pairs = list(zip(first.variables, second.variables, strict=True))
    return all(
        np.array_equal(a.numpy(), b.numpy()) for a, b in pairs if "seed_generator" not in a.path
    )


def run_python(code, **environment):
    """Run a script in a fresh interpreter; return its standard output, or fail with its errors."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout
