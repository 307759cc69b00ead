"""What the study of channels compares: networks, scorers, and how what is lost is trained back."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from models.images.resnet import small_image_resnet
from tfprune.channels import BatchNormScale
from tfprune.scorers import Fisher, Magnitude, Random, Taylor

BUDGETS = (0.5, 0.25, 0.75)  # multiply-adds that are left
DENSE, L1, STREAM_L1, STREAM_TAYLOR = "dense", "l1", "l1_streams", "taylor_streams"
STREAMS = r"(conv1|layer\d_\d_conv2)/kernel"  # all that adds to them

# ResNet-56 on CIFAR-10 as Torch-Pruning publishes it: accuracy, and how many times fewer
# multiply-adds. Trained far longer than anything here.
PUBLISHED = {
    "network": "ResNet-56",
    "base": 0.9353,
    "rows": [
        {"label": "L1", "accuracy": 0.9292, "times_fewer": 2.12},
        {"label": "group-SL", "accuracy": 0.9377, "times_fewer": 2.13},
    ],
}


@dataclasses.dataclass(frozen=True)
class Choice:
    """How channels are chosen.

    Args:
        label: what tables and plots call it.
        scorer: seed -> scorer.
        examples: that it sees; 0 for none.
        seconds: expected on one core.
        normalize: whether scores are divided by the mean of their group.
        streams: whether residual streams lose channels, too, and not the insides of blocks alone.
    """

    label: str
    scorer: Callable[[int], Any]
    examples: int = 0
    seconds: float = 0.0
    normalize: bool = True
    streams: bool = False

    def describe(self) -> dict[str, Any]:
        names = ("examples", "normalize", "streams")
        return {"scorer": repr(self.scorer(0)), **{name: getattr(self, name) for name in names}}

    def options(self) -> dict[str, Any]:
        """Return arguments of `tfprune.channels.plan`."""
        rules = None if self.streams else [(STREAMS, None)]
        return {"normalize": self.normalize, "rules": rules}


def _fixed(scorer: Any) -> Callable[[int], Any]:
    return lambda seed: scorer


CHOICES = {
    STREAM_TAYLOR: Choice(
        "Taylor on gates, residual streams too", _fixed(Taylor(on="gates")), 1000, 15, streams=True
    ),
    STREAM_L1: Choice("L1 norm, residual streams too", _fixed(Magnitude()), streams=True),
    L1: Choice("L1 norm", _fixed(Magnitude())),
    "random": Choice("random", lambda seed: Random(seed=seed)),
    "bn_scale": Choice("batch normalization's scale", _fixed(BatchNormScale())),
    "taylor_normalized": Choice("Taylor on gates", _fixed(Taylor(on="gates")), 1000, 15),
    "taylor": Choice(
        "Taylor on gates, not normalized", _fixed(Taylor(on="gates")), 1000, 15, normalize=False
    ),
    # One Hessian-vector product a gate: fewer examples, in micro-batches of 32 as before.
    "taylor_2": Choice(
        "second-order Taylor on gates, not normalized",
        _fixed(Taylor(on="gates", order=2)),
        64,
        600,
        normalize=False,
    ),
    "fisher": Choice("diagonal Fisher, not normalized", _fixed(Fisher()), 1000, 60, False),
}


@dataclasses.dataclass(frozen=True)
class Preset:
    """A network and the length of its trainings.

    Args:
        build: classes -> network with logits.
        weights: file of its weights in the folder of shared data; None trains it.
        dense_epochs: of that training.
        dense_rate: learning rate of that training, at first.
        dense_batch_size: images a step of that training.
        epochs: of what follows a removal.
        long_epochs: of what follows one by the best choice or by L1, with a teacher.
        learning_rate: of both, at first; all end at 0 on a cosine.
        batch_size: images a step of both.
        trained: names of the choices that are trained on.
        part: steps between checkpoints, at most.
        epoch_seconds: of the dense network on one core.
    """

    build: Callable[..., keras.Model]
    weights: str | None
    dense_epochs: int = 0
    dense_rate: float = 0.1
    dense_batch_size: int = 128
    epochs: int = 2
    long_epochs: int = 12
    learning_rate: float = 0.05
    batch_size: int = 128
    trained: tuple[str, ...] = (L1, "random", "bn_scale", "taylor_normalized", "taylor_2", "fisher")
    part: int = 80
    epoch_seconds: float = 180.0

    def describe(self) -> dict[str, Any]:
        """Return what decides how the dense network comes out."""
        own = {"dense_epochs": self.dense_epochs, "dense_rate": self.dense_rate}
        return {**own, "batch_size": self.dense_batch_size}

    def recovery(self, distilled: bool, epochs: int) -> dict[str, Any]:
        """Return what decides how a training after a removal comes out."""
        own = {"epochs": epochs, "learning_rate": self.learning_rate, "distilled": distilled}
        return {**self.describe(), **own, "batch_size": self.batch_size}


PRESETS = {
    "resnet20": Preset(
        partial(small_image_resnet, 20), "resnet20_cifar10/resnet20_cifar10_keras.npz"
    ),
    "resnet56": Preset(
        partial(small_image_resnet, 56),
        None,
        dense_epochs=60,
        dense_rate=0.2,
        dense_batch_size=256,
        epochs=1,
        epoch_seconds=540.0,
    ),
    "tiny": Preset(  # shows in seconds that everything runs
        partial(small_image_resnet, 8, width=4),
        None,
        dense_epochs=1,
        dense_batch_size=16,
        epochs=1,
        long_epochs=2,
        batch_size=16,
        part=2,
        epoch_seconds=1.0,
    ),
}


def in_words(epochs: int) -> str:
    """Return a number of epochs as tables and plots write it.

    Example:
        >>> in_words(1), in_words(12)
        ('1 epoch', '12 epochs')
    """
    return f"{epochs} epoch{'s' * (epochs > 1)}"


@dataclasses.dataclass(frozen=True)
class Stage:
    """What follows a removal.

    Args:
        choice: name of what chose the channels.
        distilled: whether the dense network teaches.
        epochs: of training.
    """

    choice: str
    distilled: bool
    epochs: int

    @property
    def method(self) -> str:
        """What records call it.

        Example:
            >>> Stage("taylor", True, 2).method
            'taylor-distilled-2'
        """
        return f"{self.choice}-{'distilled' if self.distilled else 'tuned'}-{self.epochs}"

    @property
    def label(self) -> str:
        """What tables and plots call it.

        Example:
            >>> Stage("taylor", True, 2).label
            '2 epochs with the dense network as teacher'
        """
        epochs = in_words(self.epochs)
        return f"{epochs} with the dense network as teacher" if self.distilled else epochs


def stage_of(method: str) -> Stage:
    """Return the stage of that name.

    Example:
        >>> stage_of("taylor-tuned-12")
        Stage(choice='taylor', distilled=False, epochs=12)
    """
    choice, how, epochs = method.split("-")
    return Stage(choice, how == "distilled", int(epochs))
