"""The examples and the loss that gradient-based scorers look at, bound to one model."""

import dataclasses
from typing import Any

import keras

from tfprune.calibration.evidence import MEMORY_BUDGET, MeasuredEvidence
from tfprune.calibration.examples import ExampleSource
from tfprune.calibration.losses import loss_function
from tfprune.calibration.passes import Passes
from tfprune.support.arrays import host_array
from tfprune.wrapping.mask_update import WeightGroup


@dataclasses.dataclass(frozen=True)
class EvidenceOptions:
    """What gradient-based scorers look at, as the user gave it.

    Attributes:
        data: as in `tfprune.one_shot`; None where no scorer needs it.
        loss: as in `keras.Model.compile`; None is the model's own.
        examples: most examples used at an update, >= 2; None uses all.
        memory_budget: bytes of per-example gradients to hold in memory; more goes to disk.
        quiet: show no progress bar.
    """

    data: Any = None
    loss: Any = None
    examples: int | None = 1000
    memory_budget: int = MEMORY_BUDGET
    quiet: bool = False


class EvidenceSource:
    """Evidence for the weight groups of a model, compiled once.

    Args:
        model: built model with `PrunedLayer`s.
        groups: its weight groups.
        options: data, loss and limits.
        compiled: model whose loss counts where none is given; `model` itself by default.
        seed: of the choice of the first examples.

    Raises:
        ValueError: if the data, the loss and the model do not fit each other.
    """

    def __init__(
        self,
        model: keras.Model,
        groups: list[WeightGroup],
        options: EvidenceOptions,
        *,
        compiled: keras.Model | None = None,
        seed: int = 0,
    ):
        loss = loss_function(compiled or model, options.loss)
        if options.data is None:
            scorers = sorted({type(group.scorer).__name__ for group in groups})
            raise ValueError(
                f"`data` must be given, because scores need gradients ({', '.join(scorers)}). "
                "Received: data=None."
            )
        self._options = options
        self._groups = groups
        self._source = ExampleSource(options.data)
        self.taken = self._source.take(options.examples, seed=seed)
        weights = {n: w for group in groups for n, w in group.trainable().items()}
        self._passes = Passes(model, loss, weights)
        self._passes.by_weight.check(self.taken)

    def take(self, seed: int) -> None:
        """Go over to other examples, as far as the data has more than are used at once."""
        self.taken = self._source.take(self._options.examples, seed=seed)

    def loss(self) -> float:
        """Return the mean loss over the examples."""
        return self._passes.by_weight.loss(self.taken)

    def evidence(self) -> MeasuredEvidence:
        """Return evidence at the weights and masks as they are now."""
        masks = {
            name: host_array(group.masks[name][0].value).copy()
            for group in self._groups
            for name in group.trainable()
        }
        structures = {n: s for group in self._groups for n, s in group.structures.items()}
        return MeasuredEvidence(
            self._passes,
            self.taken,
            masks,
            structures,
            self._options.memory_budget,
            self._options.quiet,
        )
