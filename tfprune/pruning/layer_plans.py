"""What `prune` does to each layer: one plan a layer, made from schedule, structure and rules."""

import dataclasses
import math
import warnings

import keras

from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.sparsity import distributions
from tfprune.sparsity.contract import (
    Structure,
    StructureChoice,
    pattern_sparsity,
    require_reachable,
)
from tfprune.sparsity.rules import Rule, first_match
from tfprune.sparsity.schedules import Schedule, final_sparsity
from tfprune.sparsity.structures import Unstructured
from tfprune.support.by_identity import ByIdentity
from tfprune.wrapping.plans import assigned, joined


@dataclasses.dataclass(frozen=True)
class LayerPlan:
    """What each prunable weight of one layer gets.

    Attributes:
        layer: one that `prune` wraps as a whole.
        weights: its prunable weights.
        schedules: one for each of them, None where it stays dense.
        structures: one for each of them, None where a choice of structures leaves it dense.
    """

    layer: keras.layers.Layer
    weights: tuple[keras.Variable, ...]
    schedules: tuple[Schedule | None, ...]
    structures: tuple[Structure | None, ...]

    @property
    def prunes(self) -> bool:
        return any(schedule is not None for schedule in self.schedules)

    def arguments(self) -> dict[str, object]:
        """Return the arguments of `PrunedLayer` that differ from layer to layer."""
        return {
            "schedule": joined(list(self.schedules)),
            "structure": joined(list(self.structures)),
        }

    def finals(self) -> list[float | None]:
        """Return the final sparsity of each weight, 0 for a dense one, None where not known."""
        return [0.0 if item is None else final_sparsity(item) for item in self.schedules]


def plan_layers(
    model: keras.Model,
    schedule: Schedule,
    structure: Structure | StructureChoice,
    rules: list[Rule[float | Schedule]],
) -> list[LayerPlan]:
    """Return one plan for each of `tfprune.keras_graph.rebuilding.outer_layers(model)`.

    Args:
        model: plain, built model.
        schedule: of the weights without a rule.
        structure: for all weights, or what chooses one for each. A weight that it cannot be laid
            over stays dense; one that a choice leaves dense is pruned by elements if a rule asks.
        rules: first match wins.

    Raises:
        ValueError: if a rule has a number and the schedule no end, or a schedule asks for more than
            the structure can remove.
    """
    weights = prunable_weights(model)
    chosen = (
        assigned(structure, model)
        if isinstance(structure, StructureChoice)
        else [structure] * len(weights)
    )
    structures = ByIdentity(zip(weights, chosen))
    plans = []
    for layer in outer_layers(model):
        own = tuple(prunable_weights(layer))
        pairs = [_planned(weight, schedule, structures[weight], rules) for weight in own]
        plans.append(
            LayerPlan(
                layer, own, tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
            )
        )
    return plans


def require_totals(plans: list[LayerPlan], distribution: str | distributions.Distribution) -> None:
    """Raise ValueError if weights that share a total sparsity cannot reach it together.

    The "uniform" distribution has no total but that of each weight. There, a pattern with short
    groups at an edge removes less than it is asked for: that is a warning.

    Args:
        plans: of one model.
        distribution: as the pruned layers will have it.
    """
    uniform = distributions.get(distribution) is distributions.uniform
    short: list[str] = []
    for schedule, weights in _by_schedule(plans):
        final = final_sparsity(schedule)
        if final is None:
            continue
        most = [(w, kind, kind.largest_sparsity(tuple(w.shape))) for w, kind in weights]
        if not uniform:
            found = [(w.path, math.prod(w.shape), 1.0 - largest) for w, _, largest in most]
            distributions.require_total(final, found)
            continue
        short += [
            f"at most {largest:.1%} of '{w.path}' (shape {tuple(w.shape)}, {final:.1%} asked)"
            for w, kind, largest in most
            if pattern_sparsity(kind) is not None and largest < final - 1e-9
        ]
    if short:
        more = f"; and {len(short) - 3} more" if len(short) > 3 else ""
        warnings.warn(
            "The last groups of a pattern are shorter where the axis is no multiple of them, and "
            f"keep more: it removes {'; '.join(short[:3])}{more}. A rule can leave such a weight "
            "dense.",
            stacklevel=3,
        )


def _by_schedule(
    plans: list[LayerPlan],
) -> list[tuple[Schedule, list[tuple[keras.Variable, Structure]]]]:
    """Return the trainable weights that follow the same schedule, each once."""
    found: list[tuple[Schedule, list[tuple[keras.Variable, Structure]]]] = []
    seen: ByIdentity[keras.Variable, None] = ByIdentity()
    for plan in plans:
        for weight, schedule, kind in zip(plan.weights, plan.schedules, plan.structures):
            if schedule is None or kind is None or not weight.trainable or weight in seen:
                continue
            seen[weight] = None
            cohort = next((weights for other, weights in found if other == schedule), None)
            if cohort is None:
                found.append((schedule, cohort := []))
            cohort.append((weight, kind))
    return found


def _planned(
    weight: keras.Variable,
    schedule: Schedule,
    structure: Structure | None,
    rules: list[Rule[float | Schedule]],
) -> tuple[Schedule | None, Structure | None]:
    """Return the schedule and the structure of one weight."""
    rule = first_match(rules, weight.path)
    value = schedule if rule is None else rule.value
    if structure is None and rule is not None and value is not None:
        structure = Unstructured()
    if structure is None:
        return None, None
    if isinstance(value, float):
        if not hasattr(schedule, "with_final_sparsity"):
            raise ValueError(
                "A rule with a number needs a schedule with a final sparsity; give the rule a "
                f"schedule of its own. Received: {value!r} for '{weight.path}'."
            )
        value = schedule.with_final_sparsity(value)
    shape = tuple(weight.shape)
    try:
        structure.largest_sparsity(shape)
    except ValueError:
        return None, structure
    if value is not None:
        require_reachable(structure, value, shape)
    return value, structure
