"""The quickstart's work: train, prune, strip, export, compare, measure."""

import dataclasses
import os
import platform
import sys
from pathlib import Path
from typing import Any

import ai_edge_litert
import keras
import numpy as np
import tensorflow as tf

import tfprune
from models import Dataset, digits_cnn
from tfprune.export.run import runtime

# Largest difference allowed between two stages, as a fraction of the largest logit: a float32 sum
# in another order stays below 1e-5, a weight that was lost or misplaced is far above.
TOLERANCE = 1e-4
COMPARED_EXAMPLES = 256
THREADS = 1


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one data set is trained: densely for `epochs`, then pruned for twice as many.

    The sparsity rises over the first `rising_part` of the pruning and is constant afterwards.
    """

    width: int
    epochs: int
    batch_size: int
    frequency: int
    learning_rate: float = 1e-3
    rising_part: float = 0.75

    @property
    def pruning_epochs(self) -> int:
        return 2 * self.epochs


RECIPES = {
    "digits": Recipe(width=32, epochs=15, batch_size=16, frequency=20),
    "fashion_mnist": Recipe(width=24, epochs=3, batch_size=128, frequency=50),
}


class SparsityLog(keras.callbacks.Callback):
    """Notes, after every `frequency` steps, the scheduled sparsity and that of the masks."""

    def __init__(self, schedule: tfprune.PolynomialDecay):
        super().__init__()
        self.schedule = schedule
        self.points: list[dict[str, float]] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        step = int(self.model.optimizer.iterations.numpy())
        if step % self.schedule.frequency and step != self.schedule.end_step:
            return
        masks = [
            own.mask.numpy()
            for layer in tfprune.wrapping.pruned_layer.pruned_layers(self.model)
            for own in layer.pruned
        ]
        kept = sum(int(np.count_nonzero(mask)) for mask in masks)
        achieved = 1 - kept / sum(mask.size for mask in masks)
        self.points.append({"step": step, "scheduled": self.schedule(step), "achieved": achieved})


def run(
    data: Dataset, *, sparsity: float, epochs: int | None, seed: int, out: Path
) -> dict[str, Any]:
    """Train and compare both models; write dense.tflite and sparse.tflite.

    Args:
        data: images in [0, 1] and integer labels.
        sparsity: final fraction of zeros in each pruned weight, in [0, 1).
        epochs: of the dense training; the pruning takes twice as many. None: by data set.
        seed: of every random number.
        out: an existing folder.

    Returns:
        The results as plain values, ready for JSON.

    Raises:
        RuntimeError: if predictions differ between two stages that must agree.
    """
    recipe = RECIPES[data.name]
    recipe = dataclasses.replace(recipe, epochs=epochs or recipe.epochs)
    keras.utils.set_random_seed(seed)

    say(f"1. Training a dense CNN on {data.name}")
    dense = digits_cnn(data.x_train.shape[1:], data.classes, width=recipe.width)
    dense_accuracy = train(dense, data, recipe, recipe.epochs)

    steps = -(-len(data.x_train) // recipe.batch_size) * recipe.pruning_epochs
    schedule = tfprune.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=sparsity,
        begin_step=0,
        end_step=max(1, round(recipe.rising_part * steps)),
        frequency=recipe.frequency,
    )
    say(f"2. Pruning to {100 * sparsity:.6g}% in {schedule.end_step} of {steps} more steps")
    pruned = tfprune.prune(dense, schedule)
    log = SparsityLog(schedule)
    callbacks = [tfprune.UpdatePruningStep(), log]
    sparse_accuracy = train(pruned, data, recipe, recipe.pruning_epochs, callbacks)
    stripped = tfprune.strip_pruning(pruned, compile=False)

    say("3. Writing and checking the TFLite files")
    files = {"dense": out / "dense.tflite", "sparse": out / "sparse.tflite"}
    examples = data.x_test[:COMPARED_EXAMPLES]
    tfprune.export.to_tflite(dense, files["dense"], verify_inputs=examples)
    exported = tfprune.export.to_tflite(stripped, files["sparse"], verify_inputs=examples)
    agreement = compare(dense, pruned, stripped, files, examples)

    say("4. Measuring, both files in turns")
    timings = tfprune.export.benchmark(files, threads=THREADS, runs=100)
    rows = [
        {
            "model": timing.name,
            "accuracy": accuracy(files[timing.name], data),
            "weights": model.count_params(),
            "nonzero": sum(int(np.count_nonzero(array)) for array in model.get_weights()),
            "bytes": timing.bytes,
            "gzip_bytes": timing.gzip_bytes,
            "median_ms": timing.median_ms,
            "p10_ms": timing.p10_ms,
            "p90_ms": timing.p90_ms,
            "latency_ratio": timing.ratio,
        }
        for timing, model in zip(timings, (dense, stripped))
    ]
    return {
        "command": f"scripts/quickstart.sh --data {data.name} --sparsity {sparsity} "
        f"--epochs {recipe.epochs} --seed {seed}",
        "seed": seed,
        "versions": versions(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
        "threads": THREADS,
        "data": {"name": data.name, "train": len(data.x_train), "test": len(data.x_test)},
        "recipe": dataclasses.asdict(recipe),
        "schedule": {"name": type(schedule).__name__, **dataclasses.asdict(schedule)},
        "table": rows,
        "notes": list(exported.notes),
        "kernels": [dataclasses.asdict(layer) for layer in exported.coverage.layers],
        "agreement": agreement,
        "layers": layer_sparsities(stripped),
        "sparsity_log": log.points,
        "accuracy_log": {"dense": dense_accuracy, "pruned": sparse_accuracy},
    }


def say(line: str) -> None:
    print(line, flush=True)


def train(
    model: keras.Model,
    data: Dataset,
    recipe: Recipe,
    epochs: int,
    callbacks: list[keras.callbacks.Callback] | None = None,
) -> list[float]:
    """Train in place; return the test accuracy after each epoch."""
    model.compile(
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(
        data.x_train,
        data.y_train,
        batch_size=recipe.batch_size,
        epochs=epochs,
        validation_data=(data.x_test, data.y_test),
        validation_batch_size=512,
        callbacks=callbacks,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    return history.history["val_accuracy"]


def compare(
    dense: keras.Model,
    pruned: keras.Model,
    stripped: keras.Model,
    files: dict[str, Path],
    examples: np.ndarray,
) -> dict[str, float]:
    """Compare the logits of each pair of stages that must agree.

    Returns:
        Pair of stages -> largest absolute difference over the largest absolute logit.

    Raises:
        RuntimeError: if a difference is above `TOLERANCE`.
    """
    logits = {
        "dense Keras": dense.predict(examples, verbose=0),
        "dense TFLite": predict(files["dense"], examples),
        "pruned Keras": pruned.predict(examples, verbose=0),
        "stripped Keras": stripped.predict(examples, verbose=0),
        "sparse TFLite": predict(files["sparse"], examples),
    }
    agreement = {}
    for left, right in [
        ("dense Keras", "dense TFLite"),
        ("pruned Keras", "stripped Keras"),
        ("stripped Keras", "sparse TFLite"),
    ]:
        pair = f"{left} and {right}"
        difference = np.abs(logits[left] - logits[right]).max() / np.abs(logits[left]).max()
        agreement[pair] = float(difference)
        say(f"   {pair}: largest difference {difference:.1e} of the largest logit")
        if not difference <= TOLERANCE:
            raise RuntimeError(f"{pair} differ by {difference:.1e}, more than {TOLERANCE:.0e}")
    return agreement


def predict(file: Path, images: np.ndarray) -> np.ndarray:
    """The logits that LiteRT gives, one image at a time."""
    kernels = runtime.KERNELS[0]
    found = runtime.outputs(file, [images], batch=1, threads=THREADS, kernels=[kernels])
    return found[kernels][0]


def accuracy(file: Path, data: Dataset) -> float:
    """Fraction of the test images that the file classifies correctly in LiteRT."""
    return float(np.mean(predict(file, data.x_test).argmax(-1) == data.y_test))


def layer_sparsities(stripped: keras.Model) -> list[dict[str, Any]]:
    """One entry for each weight that was pruned: its path, shape and number of nonzeros."""
    return [
        {
            "weight": weight.path,
            "shape": list(weight.shape),
            "size": int(np.prod(weight.shape)),
            "nonzero": int(np.count_nonzero(weight.numpy())),
        }
        for layer in stripped.layers
        for weight in tfprune.prunable.prunable_weights(layer)
    ]


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "tfprune": tfprune.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "ai-edge-litert": ai_edge_litert.__version__,
        "numpy": np.__version__,
    }
