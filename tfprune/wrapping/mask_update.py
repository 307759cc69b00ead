"""One mask update, for gradual pruning, one-shot pruning and sensitivity analysis alike.

step ──schedule──▶ sparsity ─┐
weights, evidence ──scorer──▶ scores ──distribution──▶ sparsities ──update rule──▶ masks ──▶ weights
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras
import numpy as np

from tfprune.scorers.checked_scores import checked_arrays, checked_change
from tfprune.scorers.protocol import GRADIENTS, Arrays, Evidence, needs_of, scores_of
from tfprune.sparsity import distributions
from tfprune.sparsity.coupled_channels import join_channels, join_sparsities
from tfprune.sparsity.masks import make_masks, require_sparsities
from tfprune.sparsity.selection import Scores
from tfprune.sparsity.structures import Structure
from tfprune.support.arrays import host_array
from tfprune.support.long_work import announce
from tfprune.support.tensors import Tensor
from tfprune.support.validation import require_callable, require_flag
from tfprune.wrapping.cohorts import Cohort, Coupling


class Variables(Protocol):
    """Where the values of variables live: in the variables, or in a JAX training state."""

    def read(self, variable: keras.Variable) -> Tensor:
        """Return the value as a backend tensor."""

    def write(self, variable: keras.Variable, value: Tensor) -> None:
        """Set the value."""

    def show(self) -> None:
        """Make the model itself, when it is called, compute with these values."""


class LiveVariables:
    """Values in the variables themselves."""

    def read(self, variable: keras.Variable) -> Tensor:
        return variable.value

    def write(self, variable: keras.Variable, value: Tensor) -> None:
        variable.assign(value)

    def show(self) -> None:
        pass


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What an update rule decides on: the weights of one cohort that are not frozen.

    Attributes:
        step: of the schedule.
        present: name -> mask as it is, True = kept.
        scores: name -> scores, larger = keep; -inf where masked, of scorers that need evidence.
        sparsities: name -> fraction of its groups to remove, in [0, 1).
        structures: name -> structure.
        evidence: what the scorer or the rule asked for; None if neither needs any.
    """

    step: int
    present: Arrays
    scores: dict[str, Scores]
    sparsities: dict[str, float]
    structures: dict[str, Structure]
    evidence: Evidence | None

    @property
    def dense_gradients(self) -> Arrays:
        """name -> gradient of the loss by mask * weight, of masked entries too.

        For rules with `needs = frozenset({"gradients"})`.
        """
        if self.evidence is None:
            raise ValueError(
                "An update rule that looks at gradients must say so: "
                f"needs = frozenset({{{GRADIENTS!r}}})."
            )
        return self.evidence.dense_mean()


class UpdateRule(Protocol):
    """How masks follow from scores: any callable proposal -> masks.

    Two more answers are optional attributes, as those of a scorer are:

        needs                what it asks of `proposal.evidence`; nothing by default
        compensate(weights, proposal, masks) -> weights
                             new values of the kept weights, in the scorer's place
    """

    def __call__(self, proposal: Proposal) -> Arrays:
        """Return name -> boolean array, True = kept, for every weight of the proposal."""


def keep_highest(proposal: Proposal) -> Arrays:
    """Return the masks that keep the highest scores: the update rule of all papers on pruning.

    Example:
        >>> from tfprune.sparsity.structures import Unstructured
        >>> scores, present = {"w": np.array([3.0, 1.0])}, {"w": np.ones(2, bool)}
        >>> keep_highest(Proposal(0, present, scores, {"w": 0.5}, {"w": Unstructured()}, None))
        {'w': array([ True, False])}
    """
    return make_masks(proposal.scores, proposal.sparsities, proposal.structures)


@dataclasses.dataclass(frozen=True)
class Update:
    """What one mask update of a cohort gives, before anything is set.

    Attributes:
        masks: name -> boolean array, True = kept.
        weights: name -> new values; empty where the weights stay as they are.
        scores: name -> scores that the next update goes on from; empty if it does not.
        predicted: change of the loss that the scorer predicts; None if it does not, or was not
            asked to.
    """

    masks: Arrays
    weights: Arrays = dataclasses.field(default_factory=dict)
    scores: dict[str, Scores] = dataclasses.field(default_factory=dict)
    predicted: float | None = None


@dataclasses.dataclass(frozen=True)
class UpdateOptions:
    """How updates are made.

    Attributes:
        rule: how masks follow from scores.
        update_weights: let the scorer (or the rule) change the kept weights, if it can.
        accumulate: let the scorer go on from the scores of the update before, if it can, and keep
            the new ones.
        predict: have the scorer predict the change of the loss, if it can.
        coupled: which weights make the same channels.
        announced: say how long this many updates will take, where that is long and the scorer can
            tell; 0 says nothing.
    """

    rule: UpdateRule = keep_highest
    update_weights: bool = True
    accumulate: bool = False
    predict: bool = False
    coupled: Coupling = Coupling()
    announced: int = 0

    def __post_init__(self) -> None:
        require_callable("update_rule", self.rule)
        require_flag("update_weights", self.update_weights)


def run_update(
    due: Sequence[tuple[Cohort, int]],
    evidence: Callable[[int], Evidence],
    variables: Variables,
    options: UpdateOptions = UpdateOptions(),
) -> list[Update]:
    """Update the masks of cohorts, and their weights where the scorer changes them.

    All masks are made before the first one is set, so that an error leaves everything as it was.
    Weights of frozen layers are left out.

    Args:
        due: pairs of a cohort and the step at which its schedule is asked.
        evidence: step -> what scorers may ask, measured now; called once, if any cohort asks.
        variables: where values live.
        options: how the update is made.

    Returns:
        What was set, one entry for each cohort that is not frozen.

    Raises:
        ValueError: if a scorer or the rule does not give one real array of the right shape for
            every weight, or a score is NaN.
    """
    measured: Evidence | None = None
    made: list[tuple[Cohort, Update]] = []
    masks: Arrays = {}
    for cohort, step in options.coupled.in_turn(due):
        weights = {n: host_array(variables.read(w)) for n, w in cohort.trainable().items()}
        if not weights:
            continue
        own = None
        if needs_of(cohort.scorer) | needs_of(options.rule):
            if cohort.schedule(step) == 0:  # nothing to choose, so nothing to ask
                kept = {name: np.ones(w.shape, bool) for name, w in weights.items()}
                made.append((cohort, Update(kept)))
                masks |= kept
                continue
            if measured is None:
                variables.show()
                measured = evidence(step)
            own = measured.only(list(weights))
        present = {name: host_array(variables.read(cohort.masks[name][0])) for name in weights}
        past = _past(cohort, weights, variables) if options.accumulate else {}
        decided = options.coupled.decided(
            cohort, masks, lambda mask: host_array(variables.read(mask))
        )
        update = _update(cohort, step, weights, present, own, options, past, decided)
        made.append((cohort, update))
        masks |= update.masks
    for cohort, update in made:
        apply_update(cohort, update, variables)
    return [update for _, update in made]


def apply_update(cohort: Cohort, update: Update, variables: Variables) -> None:
    """Set the masks, and the weights where the scorer changed them; removed ones stay."""
    for name, scores in update.scores.items():
        for past in cohort.past[name]:
            past.write(scores, variables.write)
    for name, mask in update.masks.items():
        for variable in cohort.masks[name]:
            variables.write(variable, keras.ops.convert_to_tensor(mask, dtype="bool"))
    for name, values in update.weights.items():
        weight = cohort.weights[name]
        kept = keras.ops.convert_to_tensor(update.masks[name])
        new = keras.ops.convert_to_tensor(values, dtype=weight.dtype)
        variables.write(weight, keras.ops.where(kept, new, variables.read(weight)))


def _past(cohort: Cohort, weights: Arrays, variables: Variables) -> Arrays:
    """Return the scores of the update before, of those weights that have any."""
    read = {name: past[0].read(variables.read) for name in weights if (past := cohort.past[name])}
    return {name: scores for name, scores in read.items() if scores is not None}


def _update(
    cohort: Cohort,
    step: int,
    weights: Arrays,
    present: Arrays,
    evidence: Evidence | None,
    options: UpdateOptions,
    previous: Mapping[str, Scores],
    decided: Arrays,
) -> Update:
    """Return the masks that the schedule asks for at `step`, and new weights if there are any."""
    scorer, rule = cohort.scorer, options.rule
    asked = evidence if needs_of(scorer) else None
    if asked is not None:
        # What is masked is out of the network that evidence is of, and stays out.
        weights = {name: w * present[name] for name, w in weights.items()}
    work = getattr(scorer, "operations", None)
    if options.announced and work is not None and asked is not None:
        named = f"{type(scorer).__name__} of {len(weights)} weights"
        announce(named, options.announced * work(weights, asked))
    scores = checked_arrays(scores_of(scorer, weights, asked), weights, "Scores")
    accumulated: dict[str, Scores] = {}
    if options.accumulate and hasattr(scorer, "accumulate"):
        if weights.keys() <= previous.keys():
            known = {name: previous[name] for name in weights}
            scores = checked_arrays(scorer.accumulate(known, scores), weights, "Scores")
        accumulated = scores
    if asked is not None:
        scores = {n: np.where(present[n], score, -np.inf) for n, score in scores.items()}
    structures = {name: cohort.structures[name] for name in weights}
    coupled = options.coupled.channels
    scores = join_channels(scores, structures, coupled, scorer, decided)
    sparsities = distributions.get(cohort.distribution)(scores, cohort.schedule(step), structures)
    require_sparsities(sparsities, scores)
    sparsities = join_sparsities(sparsities, scores, coupled)
    proposal = Proposal(step, present, scores, sparsities, structures, evidence)
    masks = checked_arrays(rule(proposal), weights, "Masks", boolean=True)
    new: Arrays = {}
    given: object = proposal
    compensate = getattr(rule, "compensate", None)
    if compensate is None:
        compensate, given = getattr(scorer, "compensate", None), asked
    if options.update_weights and compensate is not None:
        if any((present[name] != mask).any() for name, mask in masks.items()):
            found = compensate(weights, given, masks)
            changed = {
                n: w for n, w in weights.items() if isinstance(found, Mapping) and n in found
            }
            new = checked_arrays(found, changed, "New weights")
    predicted = None
    if options.predict and asked is not None and hasattr(scorer, "predict"):
        after = {name: new.get(name, w) * masks[name] for name, w in weights.items()}
        predicted = checked_change(scorer.predict(weights, asked, after))
    return Update(masks, new, accumulated, predicted)
