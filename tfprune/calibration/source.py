"""Where evidence comes from: the examples and the loss of one model, with its compiled passes."""

import dataclasses
from collections.abc import Collection

import keras

from tfprune.calibration.derivatives import require_backend
from tfprune.calibration.evidence import MEMORY_BUDGET, MeasuredEvidence
from tfprune.calibration.example_source import ExampleSource, require_data
from tfprune.calibration.examples import FEWEST, AnyExamples
from tfprune.calibration.losses import LossFunction, loss_function, require_losses
from tfprune.calibration.passes import Passes
from tfprune.scorers.protocol import FLOW, GRADIENTS, needs_of
from tfprune.support.arrays import host_array
from tfprune.support.tensors import Data, Loss
from tfprune.support.validation import require_flag, require_integer, require_number
from tfprune.wrapping.cohorts import Cohort


@dataclasses.dataclass(frozen=True)
class EvidenceOptions:
    """What evidence is measured on, as the user gave it.

    Attributes:
        data: as in `tfprune.one_shot`; None where nothing needs it.
        loss: as in `keras.Model.compile`; None is the model's own.
        examples: most examples used at an update, >= 2; None uses all.
        memory_budget: bytes of per-example gradients to hold in memory; more goes to disk.
        verbose: show progress bars.

    Raises:
        TypeError, ValueError: for what can be told to be wrong before anything is read.
    """

    data: Data | None = None
    loss: Loss = None
    examples: int | None = 1000
    memory_budget: float = MEMORY_BUDGET
    verbose: bool = True

    def __post_init__(self) -> None:
        if self.data is not None:
            require_data(self.data)
        if self.loss is not None:
            require_losses(self.loss)
        if self.examples is not None:
            require_integer("examples", self.examples, minimum=FEWEST)
        require_flag("verbose", self.verbose)
        require_number("memory_budget", self.memory_budget, above=0.0)


class EvidenceSource:
    """Evidence for the cohorts of a model, and its loss, measured when they are asked for.

    Data is needed where a scorer needs evidence, and a loss (with targets) where one needs
    gradients. Where neither does, the loss can be measured if both happen to be there.

    Args:
        model: built model with `PrunedLayer`s.
        cohorts: its cohorts.
        options: data, loss and limits.
        needs: what is asked beside what the scorers of the cohorts need.
        loss_needed: whether there must be a loss to measure.
        compiled: model whose loss counts where none is given; `model` itself by default.
        seed: of the choice of the first examples.

    Raises:
        ValueError: if something that is needed is missing, or the data, the loss and the model do
            not fit each other.
    """

    def __init__(
        self,
        model: keras.Model,
        cohorts: list[Cohort],
        options: EvidenceOptions,
        *,
        needs: Collection[str] = (),
        loss_needed: bool = False,
        compiled: keras.Model | None = None,
        seed: int = 0,
    ):
        self._options = options
        self._cohorts = cohorts
        asked = frozenset(needs).union(*(needs_of(cohort.scorer) for cohort in cohorts))
        self._source = _source(cohorts, options, asked, loss_needed)
        self.taken: AnyExamples | None = None
        self._loss: LossFunction | None = None
        if self._source is None:
            return
        if asked & {FLOW, GRADIENTS}:
            require_backend()
        owner = compiled or model
        must = loss_needed or GRADIENTS in asked
        if must or options.loss is not None:
            self._loss = loss_function(owner, options.loss)
        self.taken = self._source.take_varying(options.examples, seed=seed)
        targets = self.taken.parts[0].y is not None
        if self._loss is None and targets and getattr(owner, "loss", None):
            self._loss = loss_function(owner)
        self._model = model
        self._passes = self._compiled()
        self._passes.check(self.taken, differentiate=GRADIENTS in asked)

    def loss(self) -> float | None:
        """Return the mean loss over the examples, None where there is none to measure."""
        if self._loss is None or self.taken is None:
            return None
        return self._passes.loss(self.taken)

    def evidence(self, seed: int | None = None) -> MeasuredEvidence:
        """Return evidence at the weights and masks as they are now.

        Args:
            seed: of the choice of other examples, as far as the data has more than are used at
                once; None stays with those that were taken last.
        """
        if self._source is None or self.taken is None:
            raise ValueError("`data` must be given to measure evidence. Received: data=None.")
        if seed is not None:
            self.taken = self._source.take_varying(self._options.examples, seed=seed)
        if self._passes.weights.keys() != self._trainable().keys():  # layers were (un)frozen
            self._passes = self._compiled()
        masks = {
            name: host_array(cohort.masks[name][0].value).copy()
            for cohort in self._cohorts
            for name in cohort.trainable()
        }
        structures = {n: s for cohort in self._cohorts for n, s in cohort.structures.items()}
        return MeasuredEvidence(
            self._passes,
            self.taken,
            masks,
            structures,
            self._options.memory_budget,
            not self._options.verbose,
        )

    def _trainable(self) -> dict[str, keras.Variable]:
        return {n: w for cohort in self._cohorts for n, w in cohort.trainable().items()}

    def _compiled(self) -> Passes:
        masks = {name: held for cohort in self._cohorts for name, held in cohort.masks.items()}
        return Passes(self._model, self._trainable(), masks, self._loss)


def _source(
    cohorts: list[Cohort], options: EvidenceOptions, needs: frozenset[str], loss_needed: bool
) -> ExampleSource | None:
    """Return where examples come from; None where there is no data and none is needed."""
    if options.data is not None:
        targets = loss_needed or GRADIENTS in needs or options.loss is not None
        return ExampleSource(options.data, targets=targets)
    reason = None
    if needs:
        asking = {type(cohort.scorer).__name__ for cohort in cohorts if needs_of(cohort.scorer)}
        whose = ", ".join(sorted(asking)) or "the update rule"
        reason = f"because scores need {' and '.join(sorted(needs))} ({whose})"
    elif loss_needed or options.loss is not None:
        reason = "because the loss is measured on it"
    if reason is not None:
        raise ValueError(f"`data` must be given, {reason}. Received: data=None.")
    return None
