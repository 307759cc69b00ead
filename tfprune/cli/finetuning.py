"""Gradual pruning of a classifier while it is fine-tuned, for `tfprune prune --data`."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfprune.api import prune, strip_pruning
from tfprune.callbacks import UpdatePruningStep
from tfprune.progress import progress
from tfprune.schedules import PolynomialDecay

_RISING_PART = 0.6  # of the steps; the rest recovers accuracy at the final sparsity
_UPDATES = 20  # mask updates while the sparsity rises


def load_data(name: str, folder: str | None) -> Any:
    """Return the data set of that name, from the checkout's `models/data.py`.

    Args:
        name: "digits" or "fashion_mnist".
        folder: with prepared TFDS data sets; None looks in the usual places.

    Raises:
        ValueError: if the name is unknown, the data set missing, or the loaders not importable.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "models" / "data.py").is_file() and str(checkout) not in sys.path:
        sys.path.append(str(checkout))
    try:
        from models import data
    except ImportError as error:
        raise ValueError(
            "`--data` needs the data loaders in models/data.py, which are part of the tfprune "
            "checkout and not of the installed package: install it with `pip install -e` "
            f"({error})."
        ) from error
    return data.load(name, folder)


def prune_gradually(
    model: keras.Model, data: Any, args: argparse.Namespace, options: dict[str, Any]
) -> tuple[keras.Model, dict[str, Any]]:
    """Fine-tune a classifier while its sparsity rises.

    Args:
        model: plain model, images -> (n, classes) probabilities or logits.
        data: a `models.data.Dataset`.
        args: with `sparsity`, `epochs`, `batch_size`, `learning_rate`, `seed` and `json`.
        options: further arguments of `tfprune.prune`.

    Returns:
        The stripped model, and what was done with the accuracies, as plain values.

    Raises:
        ValueError: if the model cannot classify this data, or cannot be pruned.
    """
    from_logits = _gives_logits(model, data)
    steps = math.ceil(len(data.x_train) / args.batch_size) * args.epochs
    end_step = max(1, round(_RISING_PART * steps))
    schedule = PolynomialDecay(
        0.0,
        args.sparsity,
        begin_step=0,
        end_step=end_step,
        frequency=max(1, end_step // _UPDATES),
    )
    pruned = prune(model, schedule, **options)
    keras.utils.set_random_seed(args.seed)
    before = _accuracy(model, data)
    pruned.compile(
        optimizer=keras.optimizers.Adam(args.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits),
    )
    with progress("Pruning", total=steps, quiet=args.json) as advance:
        pruned.fit(
            data.x_train,
            data.y_train,
            batch_size=args.batch_size,
            epochs=args.epochs,
            verbose=0,
            callbacks=[UpdatePruningStep(), _Advance(advance, args.epochs)],
        )
    stripped = strip_pruning(pruned)
    return stripped, {
        "data": data.name,
        "epochs": args.epochs,
        "steps": steps,
        "end_step": end_step,
        "loss": f"cross-entropy on {'logits' if from_logits else 'probabilities'}",
        "accuracy_before": before,
        "accuracy_after": _accuracy(stripped, data),
    }


def _gives_logits(model: keras.Model, data: Any) -> bool:
    """Whether the outputs are logits; raises ValueError where they are no classification at all."""
    images = data.x_test[:32]
    try:
        outputs = np.asarray(keras.ops.convert_to_numpy(model(images)), np.float32)
    except Exception as error:  # every backend has its own types for a shape that does not fit
        raise ValueError(
            f"the model must take the images of {data.name!r}, of shape {images.shape[1:]}: {error}"
        ) from error
    if outputs.shape != (len(images), data.classes):
        raise ValueError(
            f"the model must have one output for each of the {data.classes} classes of "
            f"{data.name!r}. Received: outputs of shape {outputs.shape[1:]}."
        )
    sums = outputs.sum(axis=-1)
    return not (outputs.min() >= 0 and np.allclose(sums, 1, atol=1e-2))


def _accuracy(model: keras.Model, data: Any) -> float:
    classes = model.predict(data.x_test, batch_size=512, verbose=0).argmax(axis=-1)
    return float(np.mean(classes == data.y_test))


class _Advance(keras.callbacks.Callback):
    """Moves the progress bar by one after every batch."""

    def __init__(self, advance: Callable[..., None], epochs: int):
        super().__init__()
        self._advance = advance
        self._epochs = epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = float((logs or {}).get("loss", math.nan))
        self._advance(f"Pruning, epoch {self._epoch} of {self._epochs}, loss {loss:.4f}")
