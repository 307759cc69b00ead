"""Training a classifier on a data set, for `tfprune prune --data`: gradual pruning, recovery."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfprune.pruning.callbacks import UpdatePruningStep
from tfprune.pruning.prune_model import prune
from tfprune.pruning.strip import strip_pruning
from tfprune.sparsity.schedules import PolynomialDecay
from tfprune.support.progress_bar import progress

_RISING_PART = 0.6  # of the steps; the rest recovers accuracy at the final sparsity
_UPDATES = 20  # mask updates while the sparsity rises


def load_data(name: str, folder: str | None) -> Any:
    """Return the data set of that name, from the checkout's `models/data/arrays.py`.

    Args:
        name: "digits", "mnist", "fashion_mnist" or "cifar10".
        folder: with prepared TFDS data sets; None looks in the usual places.

    Raises:
        ValueError: if the name is unknown, the data set missing, or the loaders not importable.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "models" / "data.py").is_file() and str(checkout) not in sys.path:
        sys.path.append(str(checkout))
    try:
        from models.data import arrays
    except ImportError as error:
        raise ValueError(
            "`--data` needs the data loaders in models/data/arrays.py, which are part of the "
            "tfprune checkout and not of the installed package: install it with `pip install -e` "
            f"({error})."
        ) from error
    return arrays.load(name, folder)


def prune_gradually(
    model: keras.Model, data: Any, args: argparse.Namespace, options: dict[str, Any]
) -> tuple[keras.Model, dict[str, Any]]:
    """Fine-tune a classifier while its sparsity rises.

    Args:
        model: plain model, images -> (n, classes) probabilities or logits.
        data: a `models.data.arrays.Dataset`.
        args: of the command, checked and complete.
        options: further arguments of `tfprune.prune`.

    Returns:
        The stripped model, and what was done with the accuracies, as plain values.

    Raises:
        ValueError: if the model cannot classify this data, or cannot be pruned.
    """
    loss = classification_loss(model, data)
    steps = _steps(data, args)
    end_step = max(1, round(_RISING_PART * steps))
    schedule = PolynomialDecay(
        0.0,
        args.sparsity,
        begin_step=0,
        end_step=end_step,
        frequency=max(1, end_step // _UPDATES),
    )
    pruned = prune(model, schedule, **options)
    before = accuracy(model, data)
    updates = UpdatePruningStep(
        (data.x_train, data.y_train),
        examples=args.examples,
        update_weights=args.update_weights,
        verbose=False,  # one progress bar at a time
    )
    _fit(pruned, data, args, loss, "Pruning", [updates])
    stripped = strip_pruning(pruned)
    return stripped, {
        **_description(data, args, loss),
        "end_step": end_step,
        "accuracy_before": before,
        "accuracy_after": accuracy(stripped, data),
    }


def recover(
    pruned: keras.Model, data: Any, args: argparse.Namespace, before: float
) -> dict[str, Any]:
    """Fine-tune, in place, a pruned classifier whose masks are finished and stay.

    Args:
        pruned: model from `tfprune.one_shot`.
        data: a `models.data.arrays.Dataset`.
        args: of the command, checked and complete.
        before: its accuracy, fraction of the test images.

    Returns:
        What was done with the accuracies, as plain values.
    """
    loss = classification_loss(pruned, data)
    _fit(pruned, data, args, loss, "Fine-tuning", [])
    return {
        **_description(data, args, loss),
        "end_step": 0,
        "accuracy_before": before,
        "accuracy_after": accuracy(pruned, data),
    }


def classification_loss(model: keras.Model, data: Any) -> keras.losses.Loss:
    """Return cross-entropy on what the model gives: probabilities or logits.

    Args:
        model: images -> (n, classes).
        data: a `models.data.arrays.Dataset`.

    Raises:
        ValueError: if the outputs are no classification of this data.
    """
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
    probabilities = outputs.min() >= 0 and np.allclose(sums, 1, atol=1e-2)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities)


def loss_in_words(loss: keras.losses.Loss) -> str:
    """Return what a loss from `classification_loss` is computed on."""
    return f"cross-entropy on {'logits' if loss.get_config()['from_logits'] else 'probabilities'}"


def accuracy(model: keras.Model, data: Any) -> float:
    """Return the fraction of the test images that the model classifies correctly."""
    classes = model.predict(data.x_test, batch_size=512, verbose=0).argmax(axis=-1)
    return float(np.mean(classes == data.y_test))


def _steps(data: Any, args: argparse.Namespace) -> int:
    return math.ceil(len(data.x_train) / args.batch_size) * args.epochs


def _description(data: Any, args: argparse.Namespace, loss: keras.losses.Loss) -> dict[str, Any]:
    return {
        "data": data.name,
        "epochs": args.epochs,
        "steps": _steps(data, args),
        "loss": loss_in_words(loss),
    }


def _fit(
    model: keras.Model,
    data: Any,
    args: argparse.Namespace,
    loss: keras.losses.Loss,
    text: str,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Train with Adam, under a progress bar with this text."""
    keras.utils.set_random_seed(args.seed)
    model.compile(optimizer=keras.optimizers.Adam(args.learning_rate), loss=loss)
    with progress(text, total=_steps(data, args), quiet=args.json) as advance:
        model.fit(
            data.x_train,
            data.y_train,
            batch_size=args.batch_size,
            epochs=args.epochs,
            verbose=0,
            callbacks=[*callbacks, _Advance(advance, text, args.epochs)],
        )


class _Advance(keras.callbacks.Callback):
    """Moves the progress bar by one after every batch."""

    def __init__(self, advance: Callable[..., None], text: str, epochs: int):
        super().__init__()
        self._advance = advance
        self._text = text
        self._epochs = epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = float((logs or {}).get("loss", math.nan))
        self._advance(f"{self._text}, epoch {self._epoch} of {self._epochs}, loss {loss:.4f}")
