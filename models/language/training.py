"""How Zaremba et al., arXiv 1409.2329, train a language model, and how it is measured."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("models")
class Perplexity(keras.metrics.Mean):
    """exp of the mean cross-entropy a word, in nats; a model that knows nothing has v words.

        perplexity = exp(-1/N sum_i log softmax(logits_i)[word_i])

    Words with a sample weight of 0 do not count; pass it to `compile` as a weighted metric then.

    Example:
        >>> metric = Perplexity()
        >>> metric.update_state(ops.array([[1, 2]]), ops.zeros((1, 2, 50)))
        >>> round(float(metric.result()), 3)
        50.0
    """

    def __init__(self, name: str = "perplexity", dtype: str | None = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add words.

        Args:
            y_true: (..., steps) integer words.
            y_pred: (..., steps, v) logits.
            sample_weight: (..., steps) weights, >= 0; None counts every word once.
        """
        entropies = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        super().update_state(entropies, sample_weight)

    def result(self):
        return ops.exp(super().result())

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("models")
class WordCrossEntropy(keras.losses.Loss):
    """-log softmax(logits)[word], in nats; its gradient takes each exponential once.

    The values are those of Keras's sparse categorical cross-entropy of logits.

    Args:
        reduction: of the words' values, as Keras's losses take it.
        name: of the loss.

    Example:
        >>> loss = WordCrossEntropy()(ops.array([[1, 2]]), ops.zeros((1, 2, 50)))
        >>> round(float(ops.exp(loss)), 3)
        50.0
    """

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "word_cross_entropy", **dtype: Any
    ):
        super().__init__(name=name, reduction=reduction, **dtype)

    def call(self, y_true, y_pred):
        """Return the value of each word.

        Args:
            y_true: (..., steps) integer words.
            y_pred: (..., steps, v) logits.
        """
        words = ops.cast(ops.reshape(y_true, (-1, 1)), "int32")

        @ops.custom_gradient
        def entropies(logits):
            largest = ops.max(logits, axis=-1, keepdims=True)
            powers = ops.exp(logits - largest)
            sums = ops.sum(powers, axis=-1, keepdims=True)
            own = ops.take_along_axis(logits, words, axis=-1)

            def gradient(*results, upstream=None):
                scale = ops.expand_dims(results[-1] if upstream is None else upstream, -1)
                hit = ops.arange(logits.shape[-1])[None] == words
                shares = powers * (scale / sums)
                return ops.where(hit, shares - scale, shares)

            return ops.squeeze(ops.log(sums) + largest - own, -1), gradient

        found = entropies(ops.reshape(y_pred, (-1, y_pred.shape[-1])))
        return ops.reshape(found, ops.shape(y_true))


class ResetStates(keras.callbacks.Callback):
    """Begin every pass over a text with LSTM states of zero: each epoch, and each evaluation.

    Pruned models are taken as they are. Pass it to `fit`, `evaluate` and `predict`.

    Args:
        models: whose states are meant, such as a student and its teacher; by default the one that
            is trained.

    Raises:
        ValueError: at the start, if one of the models has no stateful layer.

    Example:
        >>> from models.language.lstm import lstm_language_model
        >>> model = lstm_language_model(8, vocabulary=50, steps=1, batch_size=2)
        >>> first, second = (model.predict(ops.ones((2, 1)), verbose=0) for _ in range(2))
        >>> again = model.predict(ops.ones((2, 1)), verbose=0, callbacks=[ResetStates()])
        >>> bool((first == second).all()), bool((first == again).all())
        (False, True)
    """

    def __init__(self, *models: keras.Model):
        super().__init__()
        self._models = models

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        for own in self._models or (model,):
            if not _stateful_layers(own):
                raise ValueError(
                    f"Model '{own.name}' has no stateful layer: leave ResetStates out."
                )

    def on_epoch_begin(self, epoch, logs=None):
        self._reset()

    def on_test_begin(self, logs=None):
        self._reset()

    def on_predict_begin(self, logs=None):
        self._reset()

    def _reset(self) -> None:
        for model in self._models or (self.model,):
            for layer in _stateful_layers(model):
                layer.reset_state()


def _stateful_layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if getattr(layer, "stateful", False)]


@keras.saving.register_keras_serializable("models")
class EpochDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is constant for some epochs and then divided by a factor at each.

    In epoch e = 0, 1, ...: rate / decay^max(0, e + 1 - constant_epochs)

    Args:
        rate: of the first epochs, > 0.
        steps_per_epoch: optimizer steps in an epoch, at least 1.
        constant_epochs: epochs at `rate`, >= 0.
        decay: divides the rate at each epoch after them, >= 1.
        name: of the schedule.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> schedule = EpochDecay(1.0, steps_per_epoch=10, constant_epochs=2, decay=2.0)
        >>> [float(schedule(step)) for step in (0, 19, 20, 29, 30)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        rate: float,
        *,
        steps_per_epoch: int,
        constant_epochs: int,
        decay: float,
        name: str = "epoch_decay",
    ):
        super().__init__()
        if not rate > 0:
            raise ValueError(f"`rate` must be > 0. Received: rate={rate}")
        for label, value, least in (
            ("steps_per_epoch", steps_per_epoch, 1),
            ("constant_epochs", constant_epochs, 0),
            ("decay", decay, 1),
        ):
            if value < least:
                raise ValueError(f"`{label}` must be at least {least}. Received: {label}={value}")
        self.rate = rate
        self.steps_per_epoch = steps_per_epoch
        self.constant_epochs = constant_epochs
        self.decay = decay
        self.name = name

    def __call__(self, step):
        epoch = ops.floor_divide(ops.cast(step, "int32"), self.steps_per_epoch)
        decays = ops.maximum(epoch + 1 - self.constant_epochs, 0)
        return self.rate / ops.power(float(self.decay), ops.cast(decays, "float32"))

    def get_config(self):
        return {
            "rate": self.rate,
            "steps_per_epoch": self.steps_per_epoch,
            "constant_epochs": self.constant_epochs,
            "decay": self.decay,
            "name": self.name,
        }


def zaremba_learning_rate(
    steps_per_epoch: int, *, rate: float = 1.0, constant_epochs: int = 4, decay: float = 2.0
) -> EpochDecay:
    """Return the paper's learning rate: constant, then divided by a factor at each epoch.

    Args:
        steps_per_epoch: batches in an epoch.
        rate: of the first epochs; 1 in the paper.
        constant_epochs: 4 / 6 / 14 for the small / medium / large model.
        decay: 2 / 1.2 / 1.15 for the small / medium / large model.

    Example:
        >>> schedule = zaremba_learning_rate(100)
        >>> [float(schedule(100 * epoch)) for epoch in (0, 3, 4, 5)]
        [1.0, 1.0, 0.5, 0.25]
    """
    return EpochDecay(
        rate, steps_per_epoch=steps_per_epoch, constant_epochs=constant_epochs, decay=decay
    )


def zaremba_optimizer(
    steps_per_epoch: int,
    *,
    steps: int = 20,
    clip: float = 5.0,
    constant_epochs: int = 4,
    decay: float = 2.0,
) -> keras.optimizers.SGD:
    """Return the paper's optimizer, for a loss that is the mean over the words as in Keras.

    The paper's loss is summed over the T steps and averaged over the batch; its gradient G is
    clipped to the global norm c and taken at rate r. With the mean over all words the gradient is
    g = G / T, and r clip(G, c) = (r T) clip(g, c / T): hence rate and norm of this optimizer.

    Args:
        steps_per_epoch: batches in an epoch.
        steps: T, words in a sequence, at least 1.
        clip: c, > 0; 5 / 5 / 10 for the small / medium / large model.
        constant_epochs: see `zaremba_learning_rate`.
        decay: see `zaremba_learning_rate`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> optimizer = zaremba_optimizer(100, steps=20, clip=5.0)
        >>> float(optimizer.learning_rate), optimizer.global_clipnorm
        (20.0, 0.25)
    """
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1. Received: steps={steps}")
    if not clip > 0:
        raise ValueError(f"`clip` must be > 0. Received: clip={clip}")
    schedule = zaremba_learning_rate(
        steps_per_epoch, rate=float(steps), constant_epochs=constant_epochs, decay=decay
    )
    return keras.optimizers.SGD(schedule, global_clipnorm=clip / steps)
