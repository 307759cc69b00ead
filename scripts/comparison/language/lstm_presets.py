"""Which language models the comparison trains, how, and how long that takes."""

import dataclasses
from typing import Any

from models.data import text
from models.language.lstm import PRESETS as PUBLISHED
from scripts.comparison.presets import Presets, Run, cases, pruning_options

# Measured with XLA on one core of a busy x86 server, widths 16 to 200: 57 to 250 us a word.
_SECONDS_A_WORD = 50e-6
_OPERATIONS_A_SECOND = 80e9
_SECONDS_A_RUN = 20.0  # tracing, compiling, two evaluations

_WORDS = text.CORPORA["ptb"].words["train"]
_VOCABULARY = text.CORPORA["ptb"].vocabulary


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One width and how it is trained.

    Attributes:
        units: of each of the two LSTMs and of the embedding.
        passes: over the training text.
        parts: that every pass is cut into, as far as the learning rate goes.
        checkpoints: that are written in every part; no option of the model.
        constant_parts: parts at learning rate 1.
        decay: the learning rate is divided by it at each later part.
        clip: largest global norm of the gradient of the loss summed over the steps.
        steps: words that the gradient is propagated through.
        batch_size: streams that the text is cut into.
        dropout: of the non-recurrent connections.
        init_scale: weights begin uniform in [-init_scale, init_scale].
    """

    units: int
    passes: int = 1
    parts: int = 10
    checkpoints: int = 1
    constant_parts: int = 5
    decay: float = 1.5
    clip: float = 5.0
    steps: int = 20
    batch_size: int = 20
    dropout: float = 0.0
    init_scale: float = 0.1

    def options(self) -> dict[str, Any]:
        """Return what decides the outcome, as plain values."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k != "checkpoints"}


@dataclasses.dataclass(frozen=True)
class Preset:
    """The models that are compared.

    Attributes:
        dense: the dense models, smallest first.
        sparsities: that the largest of them are pruned to.
        pruned: how many of the largest are.
        words: how many of the training text's first words are used; None is all.
        begin: fraction of the steps after which pruning begins.
        end: fraction of the steps after which the sparsity is reached.
        updates: mask updates between.
        left_out: regular expressions of the paths of weights that stay dense.
    """

    dense: tuple[Recipe, ...]
    sparsities: tuple[float, ...]
    pruned: int = 1
    words: int | None = None
    begin: float = 0.2
    end: float = 0.7
    updates: int = 25
    left_out: tuple[str, ...] = ()

    def runs(self) -> list[Run]:
        return [
            Run(
                f"{kind}-{recipe.units}",
                sparsity,
                {**recipe.options(), **(pruning_options(self) if sparsity else {})},
                self._seconds(recipe),
            )
            for kind, recipe, sparsity in cases(
                self.dense, self.dense[-self.pruned :], self.sparsities
            )
        ]

    def _seconds(self, recipe: Recipe) -> float:
        operations = 6 * recipe.units * _VOCABULARY + 96 * recipe.units**2  # forward and backward
        words = recipe.passes * (self.words or _WORDS)
        return _SECONDS_A_RUN + words * (_SECONDS_A_WORD + operations / _OPERATIONS_A_SECOND)


def _published(size: str, units: int | None = None) -> Recipe:
    paper = PUBLISHED[size]
    return Recipe(
        units=units or paper.units,
        passes=paper.epochs,
        parts=1,
        checkpoints={20: 23, 35: 26}[paper.steps],  # nearly all of the 2,323 or 1,327 batches
        constant_parts=paper.constant_epochs,
        decay=paper.decay,
        clip=paper.clip,
        steps=paper.steps,
        batch_size=paper.batch_size,
        dropout=paper.dropout,
        init_scale=paper.init_scale,
    )


# Between the paper's small and medium model, as its width is: the small one's thirteen passes, and
# a dropout and a decay of our own (`scripts/comparison/README.md` has the short runs).
_BETWEEN = dataclasses.replace(_published("small", 400), dropout=0.35, constant_parts=5, decay=1.7)

PRESETS = Presets(
    {
        "cpu": Preset(tuple(Recipe(units) for units in (16, 32, 64, 128)), (0.8, 0.9, 0.95)),
        "quick": Preset(
            tuple(Recipe(units) for units in (16, 32, 128)), (0.8, 0.9), words=300_000, updates=10
        ),
        "ptb": Preset(
            (_published("small", 100), _published("small"), _BETWEEN),
            (0.8, 0.9, 0.95),
            begin=0.1,
            end=0.5,
            updates=50,
        ),
        "paper": Preset(
            # 50 and 100 units by the recipe of 200, as rivals of pruned models.
            (_published("small", 50), _published("small", 100), *map(_published, PUBLISHED)),
            (0.8, 0.85, 0.9, 0.95),
            pruned=2,
            begin=0.1,
            end=0.5,
            updates=50,
        ),
    },
    {
        "cpu-early": {"begin": 0.0, "end": 0.5},
        "cpu-late": {"begin": 0.45, "end": 0.95},
        "cpu-softmax": {"left_out": ("logits/.*",)},
        "cpu-embedding": {"left_out": ("embedding/.*",)},
    },
)
find, jobs, estimate = PRESETS.find, PRESETS.jobs, PRESETS.estimate
VARIANTS = PRESETS.variants
