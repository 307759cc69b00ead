"""PrunedLayer: a Keras layer whose chosen weights are multiplied by binary masks in its call.

The wrapped layer runs unchanged inside a `keras.StatelessScope` that substitutes `mask * weight`
for each pruned weight. So any layer can be wrapped; the stored weight keeps its value, receives
the gradient mask * dL/d(mask * weight), hence none while masked, and may come back at a later mask
update.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import keras
import numpy as np

from tfprune import scorers
from tfprune.keras_graph.private_keras import in_training
from tfprune.layer_classes.prunable import flatten, prunable_weights
from tfprune.layer_classes.summaries import counted
from tfprune.scorers.protocol import Scorer, ScorerName, preferred_distribution
from tfprune.sparsity import contract, distributions
from tfprune.sparsity.contract import Structure, StructureChoice
from tfprune.sparsity.distributions import Distribution, DistributionName
from tfprune.sparsity.schedules import Schedule, as_schedule
from tfprune.sparsity.structures import Unstructured
from tfprune.support.arrays import host_array
from tfprune.support.configurable import Config, untracked
from tfprune.support.tensors import Nest, OfTensor, Tensor
from tfprune.support.validation import require_layer, require_methods, require_text
from tfprune.wrapping.added_state import (
    NOT_BEGUN,
    ModelNotice,
    PruningStep,
    add_mask,
    add_past_scores,
    add_rounding_state,
    load_added,
)
from tfprune.wrapping.lookup import lookup_table, masked_rows
from tfprune.wrapping.masking import MaskedConstraint, MaskedRegularizer, MaskScope, PrunedWeight
from tfprune.wrapping.other_transforms import refuse_transforms
from tfprune.wrapping.plans import Quantizer, WeightPlan, weight_plans
from tfprune.wrapping.ranges.transparent import TransparentLayer
from tfprune.wrapping.training_guard import constrain, guard, untrainable


@keras.saving.register_keras_serializable("tfprune")
class PrunedLayer(TransparentLayer):
    """Prune one layer; use it wherever the layer itself could be used.

    Train with the callback `tfprune.UpdatePruningStep()`, then call `tfprune.strip_pruning(model)`.
    The wrapper takes the layer's name, so `get_layer` and losses keyed by output name still work.
    Attributes that the wrapper does not have are looked up in the layer; a pruned weight reached
    this way (a tied output projection reading `embedding.embeddings`, say) is the masked tensor.

    Args:
        layer: the layer to prune, built or not.
        schedule: step -> sparsity, for all prunable weights of the layer; or a list with one
            schedule for each of them (see `tfprune.prunable.prunable_weights`), None to leave
            that weight dense.
        scorer: name or scorer object; larger scores are kept.
        structure: which weights are removed together, in all prunable weights of the layer or in
            each (a list, None to leave that weight dense); or `tfprune.structures_for(target)`.
        distribution: "uniform", "erk", "global" or a function; how a total over several layers
            becomes one sparsity a weight. None is what the scorer was made for, mostly "uniform".
        quantizer: what rounds the masked weights in the forward pass (`tfprune.quantize_aware`).
        name: defaults to the name of the layer.

    Raises:
        TypeError: if an argument is of the wrong kind (a number as schedule, say).
        ValueError: if the layer is wrapped already or, once it is built, has nothing to prune.

    Example:
        >>> import tfprune
        >>> layer = PrunedLayer(keras.layers.Dense(4), tfprune.OneShot(0.5))
        >>> layer(keras.ops.ones((1, 3))).shape == (1, 4)
        True
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        schedule: Schedule | Sequence[Schedule | None],
        *,
        scorer: ScorerName | Scorer = "magnitude",
        structure: Structure | StructureChoice | Sequence[Structure | None] = Unstructured(),
        distribution: DistributionName | Distribution | None = None,
        quantizer: Quantizer | None = None,
        name: str | None = None,
    ):
        require_layer("layer", layer)
        if quantizer is not None:
            require_methods("quantizer", quantizer, "assign")
        require_text("name", layer.name if name is None else name)
        if any(isinstance(part, PrunedLayer) for part in flatten(layer)):
            raise ValueError(f"Layer '{layer.name}' is wrapped for pruning already.")
        super().__init__(layer, name=name)
        self.schedule = (
            [None if item is None else as_schedule(item) for item in schedule]
            if isinstance(schedule, Sequence)
            else as_schedule(schedule)
        )
        self.scorer = scorers.get(scorer)
        self.structure = (
            [None if item is None else contract.require_structure(item) for item in structure]
            if isinstance(structure, Sequence)
            else contract.require_choice(structure)
        )
        self.distribution = distributions.choose(
            distribution,
            preferred_distribution(self.scorer),
            *(structure if isinstance(structure, Sequence) else [structure]),
        )
        self._distribution = distribution  # None is decided once the structures are known
        self.quantizer = quantizer
        self.pruned: tuple[PrunedWeight, ...] = ()
        self._constraints: list[MaskedConstraint] = []
        self._table: PrunedWeight | None = None
        self._rounding_state: list[keras.Variable] = []
        self._kept_up = self._finished = False  # by an updater; no update is left to make
        self.notice: ModelNotice | None = None  # shared by the layers of a model
        if layer.built and prunable_weights(layer):
            self.build()

    def build(self, input_shape: Sequence[object] | None = None) -> None:
        """Create the masks (all kept) and the pruning step; build the layer first if needed."""
        if not self.layer.built:
            self.layer.build(input_shape)
        plans = weight_plans(self.layer, self.schedule, self.structure, self.quantizer)
        self.distribution = distributions.choose(
            self._distribution,
            preferred_distribution(self.scorer),
            *(plan.structure for plan in plans.values()),
        )
        masks = {index: self._add_mask(plan, index) for index, plan in plans.items()}
        self.pruning_step = PruningStep(self._at_step)
        accumulates = hasattr(self.scorer, "accumulate")
        self.pruned = tuple(
            PrunedWeight(
                plan.weight,
                masks[index],
                plan.schedule,
                plan.structure,
                plan.rounding,
                add_past_scores(self, plan.weight, index) if accumulates else None,
            )
            for index, plan in plans.items()
        )
        self._rounding_state = add_rounding_state(self, {i: p.rounding for i, p in plans.items()})
        self._table = lookup_table(self.layer, self.pruned)
        refuse_transforms(self.layer)
        self._at_step(NOT_BEGUN)

    def _add_mask(self, plan: WeightPlan, index: int) -> keras.Variable:
        weight = plan.weight
        contract.require_reachable(plan.structure, plan.schedule, tuple(weight.shape))
        mask = add_mask(self, weight, index)
        if weight.regularizer is not None:
            weight.regularizer = MaskedRegularizer(weight.regularizer, mask)
        constrain(weight, lambda constraint: self._masked(constraint, mask))
        return mask

    def _masked(self, constraint: OfTensor, mask: keras.Variable) -> MaskedConstraint:
        self._constraints.append(MaskedConstraint(constraint, mask))
        return self._constraints[-1]

    @property
    def added(self) -> list[keras.Variable]:
        """The variables that pruning adds to the layer's own, as they are saved."""
        masks = [own.mask for own in self.pruned]
        past = [own.past for own in self.pruned if own.past is not None]
        scores = [variable for kept in past for variable in (kept.values, kept.known)]
        return [*masks, self.pruning_step, *scores, *self._rounding_state] if masks else []

    @property
    def weights(self) -> list[keras.Variable]:
        return counted(super().weights, lambda: self.added)

    def call(self, *args: Nest, **kwargs: Nest) -> Nest:
        pruned = self.pruned
        if not self.has_updater and in_training(self):
            pruned = tuple(untrainable(own, self) for own in pruned)
        for constraint in self._constraints:
            constraint.see()
        with MaskScope(() if self._table else pruned) as scope:
            outputs = self.layer(*args, **kwargs)
        if self._table:
            rows = args[0] if args else kwargs["inputs"]
            outputs = masked_rows(outputs, pruned[0], cast(Tensor, rows))
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    @property
    def has_updater(self) -> bool:
        """Whether weights may be trained: an updater keeps the masks up, or they are finished.

        Whoever keeps the masks on schedule sets it to True before, and to False once that ends.
        """
        return self._kept_up or self._finished

    @has_updater.setter
    def has_updater(self, value: bool) -> None:
        self._kept_up = value
        if self.pruned and not value:
            self._at_step(int(host_array(self.pruning_step.value)))
        for own in self.pruned:
            guard(own.weight, self)

    def _at_step(self, step: int) -> None:
        """Have weights trained or not, as updates are left to make after this step or not."""
        if self._kept_up:
            return  # who keeps the masks up makes what is left
        self._finished = all(own.schedule.next_update(step) is None for own in self.pruned)
        for own in self.pruned:
            guard(own.weight, self)

    def save_own_variables(self, store: dict[str, np.ndarray]) -> None:
        """Save masks, step and scores; say first if the model lacks zeros that it should have."""
        if self.notice is not None and not self.has_updater:
            self.notice.before_saving(self)
        super().save_own_variables(store)

    def load_own_variables(self, store: Mapping[str, np.ndarray]) -> None:
        """Load masks and step."""
        first = [*(own.mask for own in self.pruned), self.pruning_step]
        past = [own.past for own in self.pruned if own.past]
        if self._rounding_state or not load_added(store, first, past):
            super().load_own_variables(store)  # says what does not fit

    def symbolic_call(self, *args: Nest, **kwargs: Nest) -> Nest:
        # Loading a Sequential calls each layer once for each that follows: be brief if one may.
        plain = type(self.layer).__call__ is keras.layers.Layer.__call__
        direct = plain and self.layer.built
        return (self.layer.symbolic_call if direct else self.layer)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "layer" not in self.__dict__:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        layer = self.__dict__["layer"]
        try:
            value = getattr(layer, name)
        except AttributeError as error:
            raise AttributeError(
                f"'PrunedLayer' object has no attribute '{name}', nor has the "
                f"{type(layer).__name__} layer '{layer.name}' that it wraps"
            ) from error
        return next((own.masked_value() for own in self.pruned if own.weight is value), value)

    def get_config(self) -> Config:
        serialize = keras.saving.serialize_keras_object
        return {
            "layer": serialize(self.layer),
            "schedule": serialize(untracked(self.schedule)),
            "scorer": serialize(self.scorer),
            "structure": serialize(untracked(self.structure)),
            "distribution": serialize(self.distribution),
            "quantizer": serialize(self.quantizer),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> "PrunedLayer":
        deserialize = keras.saving.deserialize_keras_object
        options = {k: deserialize(v, custom_objects=custom_objects) for k, v in config.items()}
        return cls(**options)


def pruned_layers(model: keras.layers.Layer) -> list[PrunedLayer]:
    """Return the `PrunedLayer`s inside a model or layer, each once, itself included.

    Example:
        >>> pruned_layers(keras.layers.Dense(3))
        []
    """
    return [layer for layer in flatten(model) if isinstance(layer, PrunedLayer)]
