"""Which image classifiers the comparison trains, how, and how long that takes."""

import dataclasses
from typing import Any

import keras

from scripts.comparison.presets import Continuation, Presets, Run, cases, pruning_options

# Measured on one core of a busy x86 server: seconds of a training step for an image, to which those
# for the multiply-adds of one inference are added.
_SECONDS_AN_IMAGE = 4.5e-4
_SECONDS_A_RUN = 30.0  # tracing, compiling, evaluation
_TRAINING_IMAGES = {"fashion_mnist": 60_000, "cifar10": 50_000, "imagenet2012": 1_281_167}


@dataclasses.dataclass(frozen=True)
class Preset:
    """The models that are compared, and how they are trained.

    Attributes:
        data: name of the data set.
        models: names for `models.build`, smallest first; the last one is pruned as well.
        multiply_adds: of one inference of each of the models, roughly.
        sparsities: that it is pruned to.
        epochs: over the training images.
        images: how many of the first training images are used; None is all.
        batch_size: images in a step.
        optimizer: "adam", or "sgd" with Nesterov's momentum of 0.9.
        learning_rate: at first; it falls to zero on a cosine.
        weight_decay: of all weights, times the learning rate at each step.
        begin, end: fractions of the steps between which the sparsity rises.
        updates: mask updates between.
        left_out: regular expressions of the paths of weights that stay dense.
        distribution: of the sparsity over the layers, as `tfprune.prune` takes it.
        momentum: of the moving batch statistics, where not the model's own: short trainings need
            them to follow faster.
        crop: pixels by which small images are moved at most.
        side: height and width of ImageNet's images.
        width: of the models, where not their own.
        normalize: whether small images are scaled as the weights of `models.load_resnet20` ask.
        seconds_a_multiply_add: of one inference, that a training step takes on one core.
        continuation: how the last model is pruned where its weights are given; None trains it.
    """

    data: str
    models: tuple[str, ...]
    multiply_adds: tuple[float, ...]
    sparsities: tuple[float, ...]
    epochs: int
    images: int | None = None
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    weight_decay: float | None = None
    begin: float = 0.1
    end: float = 0.5
    updates: int = 20
    left_out: tuple[str, ...] = ()
    distribution: str = "global"
    momentum: float | None = None
    crop: int = 2
    side: int = 224
    width: int | None = None
    normalize: bool = False
    seconds_a_multiply_add: float = 2e-10
    continuation: Continuation | None = None

    def runs(self) -> list[Run]:
        costs = dict(zip(self.models, self.multiply_adds))
        return [
            Run(
                f"{kind}-{model}",
                sparsity,
                {"model": model, **plan.options(), **(self._pruning() if sparsity else {})},
                plan.seconds(costs[model]),
            )
            for kind, model, sparsity in cases(self.models, self.models[-1:], self.sparsities)
            for plan in [self.planned(model, sparsity)]
        ]

    def planned(self, model: str, sparsity: float) -> "Preset":
        """Return the preset with the epochs and the learning rate of one of its models."""
        if self.continuation is None or model != self.models[-1]:
            return dataclasses.replace(self, continuation=None)
        return dataclasses.replace(
            self,
            epochs=self.continuation.epochs if sparsity else 0,
            learning_rate=self.continuation.learning_rate,
        )

    def make_optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        """Return the optimizer of a training of so many steps."""
        rate = keras.optimizers.schedules.CosineDecay(self.learning_rate, max(steps, 1))
        if self.optimizer == "adam":
            return keras.optimizers.Adam(rate, weight_decay=self.weight_decay)
        return keras.optimizers.SGD(
            rate, momentum=0.9, nesterov=True, weight_decay=self.weight_decay
        )

    def options(self) -> dict[str, Any]:
        """Return what decides the outcome, as plain values."""
        names = ["data", "epochs", "images", "batch_size", "learning_rate", "crop", "momentum"]
        own = {name: getattr(self, name) for name in names}
        further = {name: getattr(self, name) for name in ("width", "weight_decay", "normalize")}
        further |= {"optimizer": self.optimizer} if self.optimizer != "adam" else {}
        further |= {"weights": self.continuation.weights} if self.continuation else {}
        return {**own, **{name: value for name, value in further.items() if value}}

    def _pruning(self) -> dict[str, Any]:
        return {**pruning_options(self), "distribution": self.distribution}

    def seconds(self, multiply_adds: float) -> float:
        """Return how long the training takes on one core."""
        images = self.epochs * (self.images or _TRAINING_IMAGES[self.data])
        an_image = _SECONDS_AN_IMAGE + multiply_adds * self.seconds_a_multiply_add
        return _SECONDS_A_RUN + images * an_image


_SMALLER_RESNETS = ("resnet20-0.25", "resnet20-0.5")
_WIDTHS = tuple(f"mobilenet-v1-{width}" for width in ("0.15", "0.25", "0.4"))
_COSTS = (1.0e6, 2.6e6, 6.3e6)
PRESETS = Presets(
    {
        "cpu": Preset("fashion_mnist", _WIDTHS, _COSTS, (0.8, 0.92), epochs=3, momentum=0.9),
        "quick": Preset(
            "fashion_mnist",
            _WIDTHS,
            _COSTS,
            (0.8,),
            epochs=2,
            images=20_000,
            momentum=0.9,
            updates=8,
        ),
        "resnet": Preset(
            "cifar10",
            ("resnet20", "resnet56"),
            (2.6e6, 7.9e6),
            (0.7, 0.8),
            epochs=4,
            crop=4,
            width=4,  # a quarter of the published one, a sixteenth of its cost
        ),
        "cifar10": Preset(
            "cifar10",
            (*_SMALLER_RESNETS, "resnet20"),
            (2.6e6, 1.04e7, 4.1e7),
            (0.9, 0.95, 0.75),
            epochs=60,
            optimizer="sgd",
            learning_rate=0.1,
            weight_decay=1e-3,  # with this momentum, 1e-4 in the gradient, as published
            begin=0.0,
            end=0.6,
            updates=40,
            crop=4,
            normalize=True,
            seconds_a_multiply_add=8e-11,
            continuation=Continuation(12, 0.05, "resnet20_cifar10/resnet20_cifar10_keras.npz"),
        ),
        "paper": Preset(
            "imagenet2012",
            tuple(f"mobilenet-v1-{width}" for width in ("0.25", "0.5", "0.75", "1.0")),
            (4.1e7, 1.5e8, 3.25e8, 5.7e8),
            (0.5, 0.75, 0.9, 0.95),
            epochs=100,
            batch_size=256,
            updates=200,
            distribution="uniform",
        ),
        "paper-inception": Preset(
            "imagenet2012",
            ("inception-v3",),
            (5.7e9,),
            (0.5, 0.75, 0.875),
            epochs=100,
            batch_size=256,
            updates=200,
            distribution="uniform",
            side=299,
        ),
    },
    {
        "cpu-late": {"begin": 0.4, "end": 0.8},
        "cpu-uniform": {"distribution": "uniform"},
        "cpu-fast": {"learning_rate": 4e-3},
        "cpu-classifier": {"left_out": ("conv_preds/.*",)},
    },
)
find, jobs, estimate = PRESETS.find, PRESETS.jobs, PRESETS.estimate
VARIANTS = PRESETS.variants
