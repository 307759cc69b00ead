"""Which translation models the comparison trains, how, and how long that takes."""

import dataclasses
from typing import Any

import keras

from scripts.comparison.presets import Continuation, Presets, Run, cases, pruning_options

# Processor time of one epoch at widths 64 and 128, one core of a busy x86 server.
_SECONDS_A_TOKEN = 80e-6
_SECONDS_A_TOKEN_AND_WEIGHT = 1.5e-10
_SECONDS_A_RUN = 40.0  # reading, tracing, and translating the test sentences
_TOKENS_A_SENTENCE = 18
_SENTENCES = {"multi30k": 29_000, "wmt16_translate": 4_548_885}

_HALVINGS = 10


@dataclasses.dataclass(frozen=True)
class Preset:
    """The models that are compared, and how they are trained.

    The learning rate is constant in the first half of the training and is halved ten times at
    equal distances in the second, as in github.com/tensorflow/nmt.

    Attributes:
        units: widths of the dense models; the last is pruned as well.
        sparsities: that it is pruned to.
        data: name of the text for `translation_data.load`, with the language pair and the names of
            the splits for training, validation and test.
        sentences: how many of the first training sentences are used; None is all.
        vocabulary: sub-words, which both languages share.
        max_length: most tokens of a training sentence; longer ones are left out.
        depth: layers of encoder and decoder.
        dropout: of the inputs of every LSTM and of the projection.
        epochs: passes over the training text.
        batch_size: sentences a step.
        optimizer: "adam" or "sgd".
        learning_rate: at first.
        clip: largest global norm of a gradient.
        begin: fraction of the steps after which pruning begins.
        end: fraction of the steps after which the sparsity is reached.
        updates: mask updates between.
        left_out: regular expressions of the paths of weights that stay dense.
        beam: hypotheses a sentence in the search.
        alpha: of the length penalty.
        init_scale: embeddings begin uniform in [-init_scale, init_scale].
        bucket: lengths of sentences are padded to its multiples.
        best: whether the epoch with the lowest validation loss counts, not the last one.
        continuation: how the widest dense model is trained on and pruned; None prunes another one
            while it is trained.
        taught: how it is pruned to the first of the sparsities with the dense model as teacher;
            None leaves it out.
    """

    units: tuple[int, ...] = (16, 32, 64)
    sparsities: tuple[float, ...] = (0.8, 0.9)
    data: str = "multi30k"
    pair: str = "en-de"
    splits: tuple[str, str, str] = ("train", "val", "test2016")
    sentences: int | None = None
    vocabulary: int = 2_000
    max_length: int = 40
    depth: int = 2
    dropout: float = 0.0
    epochs: int = 4
    batch_size: int = 32
    optimizer: str = "adam"
    learning_rate: float = 5e-3
    clip: float = 5.0
    begin: float = 0.3
    end: float = 0.7
    updates: int = 25
    left_out: tuple[str, ...] = ()
    beam: int = 4
    alpha: float = 0.6
    init_scale: float = 0.05
    bucket: int = 8
    best: bool = False
    continuation: Continuation | None = None
    taught: Continuation | None = None

    def runs(self) -> list[Run]:
        found = cases(self.units, self.units[-1:], self.sparsities)
        if self.taught:
            found.append(("taught", self.units[-1], self.sparsities[0]))
        return [
            Run(f"{kind}-{units}", sparsity, plan.options(units), plan.seconds(units))
            for kind, units, sparsity in found
            for plan in [self.planned(kind)]
        ]

    def planned(self, kind: str) -> "Preset":
        """Return the preset as it trains one kind of its models.

        Args:
            kind: "dense", "pruned" or "taught".
        """
        plan = {"pruned": self.continuation, "taught": self.taught}.get(kind)
        own = {"continuation": plan, "taught": None}
        if plan:
            own |= {"epochs": plan.epochs, "learning_rate": plan.learning_rate}
        return dataclasses.replace(self, **own)

    def options(self, units: int) -> dict[str, Any]:
        """Return what decides the outcome of a run of `planned`, as plain values."""
        own = {"units", "sparsities", "left_out", "continuation", "taught"}
        own |= {name for name, usual in _USUAL.items() if getattr(self, name) == usual}
        shared = {k: v for k, v in dataclasses.asdict(self).items() if k not in own}
        shared["splits"] = list(self.splits)  # as it comes back from a results file
        if plan := self.continuation:
            shared["goes_on_from"] = f"dense-{units}"
            shared |= {"alpha_of_teacher": plan.alpha} if plan.alpha else {}
        return {"units": units, **shared, **pruning_options(self)}

    def seconds(self, u: int) -> float:
        """Return how long the training of so many units takes on one core."""
        d, tokens = self.depth, self.epochs * _TOKENS_A_SENTENCE
        tokens *= self.sentences or _SENTENCES[self.data]
        lstms = 4 * u * u * (7 + 2 * (d - 2)) + 4 * u * u * (2 + 3 * (d - 1))
        weights = lstms + 4 * u * u + u * self.vocabulary  # attention, tanh layer, projection
        teacher = 1.5 if self.continuation and self.continuation.alpha else 1.0
        a_token = _SECONDS_A_TOKEN + weights * _SECONDS_A_TOKEN_AND_WEIGHT
        return _SECONDS_A_RUN + teacher * tokens * a_token

    def make_optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        """Return the optimizer of a training of so many steps."""
        places = [round(steps * (1 + k / _HALVINGS) / 2) for k in range(_HALVINGS)]
        rates = [self.learning_rate * 0.5**k for k in range(_HALVINGS + 1)]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(places, rates)
        kind = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[self.optimizer]
        return kind(rate, global_clipnorm=self.clip)


# Options that some committed results do not name.
_USUAL = {"init_scale": 0.05, "bucket": 8, "best": False}

# The GNMT of 4 layers of github.com/tensorflow/nmt, with which Zhu & Gupta worked: SGD for 340,000
# steps of 128 sentences. The widths of the dense models and the steps of the pruning are ours.
_GNMT = Preset(
    units=(256, 512, 1024),
    sparsities=(0.8, 0.85, 0.9),
    data="wmt16_translate",
    splits=("train", "validation", "test"),
    vocabulary=36_548,
    max_length=50,
    depth=4,
    dropout=0.2,
    epochs=10,
    batch_size=128,
    optimizer="sgd",
    learning_rate=1.0,
    updates=100,
    beam=10,
    alpha=1.0,
)
PRESETS = Presets(
    {
        "cpu": Preset(),
        "quick": Preset(sparsities=(0.8,), sentences=8_000, updates=10, beam=1),
        "paper": _GNMT,
        "paper-de-en": dataclasses.replace(_GNMT, pair="de-en"),
        "multi30k": Preset(
            units=(64, 128, 256),
            vocabulary=4_000,
            depth=1,
            dropout=0.3,
            epochs=15,
            batch_size=64,
            learning_rate=4e-3,
            begin=0.0,
            end=0.5,
            updates=50,
            init_scale=0.5,
            bucket=2,
            best=True,
            continuation=Continuation(10, 2e-3),
            taught=Continuation(16, 2e-3, alpha=0.7),
        ),
    },
    {
        "cpu-early": {"begin": 0.0, "end": 0.5},
        "cpu-late": {"begin": 0.45, "end": 0.95},
        "cpu-softmax": {"left_out": ("logits/.*",)},
        "cpu-embedding": {"left_out": (".*_embedding/.*",)},
    },
)
find, jobs, estimate = PRESETS.find, PRESETS.jobs, PRESETS.estimate
VARIANTS = PRESETS.variants
