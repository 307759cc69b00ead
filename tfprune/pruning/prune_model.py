"""prune: from a plain Keras model to a pruned one."""

from collections.abc import Callable

import keras
import numpy as np

from tfprune import scorers
from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.layer_classes.prunable import explain_skip, prunable_weights
from tfprune.pruning.layer_plans import plan_layers, require_totals
from tfprune.pruning.saving import wrap_by_recipe
from tfprune.pruning.starved_units import warn_cut_off, warn_outputs
from tfprune.scorers.protocol import Scorer, ScorerName, preferred_distribution
from tfprune.sparsity import distributions
from tfprune.sparsity.contract import Structure, StructureChoice, require_choice
from tfprune.sparsity.distributions import DistributionName
from tfprune.sparsity.rules import Rules, parse_rules, sparsity_of_rule
from tfprune.sparsity.schedules import Schedule, as_schedule
from tfprune.sparsity.structures import Unstructured
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.support.validation import require_model, require_sparsity
from tfprune.targets.structures import TargetStructures, warn_below_min_sparsity
from tfprune.wrapping.pruned_layer import pruned_layers


def prune(
    model: keras.Model,
    schedule: Schedule | Callable[[int], float] | float | None = None,
    *,
    sparsity: float | None = None,
    scorer: ScorerName | Scorer = "magnitude",
    structure: Structure | StructureChoice = Unstructured(),
    distribution: DistributionName | distributions.Distribution | None = None,
    rules: Rules | None = None,
) -> keras.Model:
    """Return a copy of the model whose prunable layers are wrapped in `PrunedLayer`.

    The copy shares nothing with `model`, which is not changed. Compile it, train it with the
    callback `tfprune.UpdatePruningStep()`, then call `tfprune.strip_pruning`. Layers with nothing
    to prune stay as they are (`tfprune.report` lists them with the reason).

    Args:
        model: built Sequential, Functional or subclassed `keras.Model`.
        schedule: a sparsity in [0, 1), `PolynomialDecay`, `ConstantSparsity`, `OneShot`, or a
            function step -> sparsity in [0, 1). A number is the final sparsity of the cubic
            schedule, which `UpdatePruningStep` lays out over the coming `fit`: from 10 % to 70 % of
            its steps, in about 100 updates.
        sparsity: the same number by name, in place of `schedule`.
        scorer: name or scorer object (see `tfprune.scorers`); larger scores are kept.
        structure: which weights are removed together: `Unstructured()`, `Block(h, w)`,
            `NofM(kept, m)` or `Channel(axis)`. A weight that it cannot be laid over stays dense.
            Or `tfprune.structures_for(target)`, which gives each weight its own. One of your own
            needs the methods of `tfprune.structures.Structure`.
        distribution: "uniform" (every weight at the target), "erk", "global" (one threshold over
            all layers) or a function (see `tfprune.distributions`). None is what the scorer was
            made for: "uniform" unless the scorer says otherwise.
        rules: list of (regex, value), first match wins. The regex must match the whole path of a
            weight or part of it between slashes: "conv1" and "conv1/.*" match
            "my_model/conv1/kernel". The value is None (stays dense), a final sparsity, or a
            schedule of its own. Ruled weights do not take part in the distribution. Elements of a
            weight are pruned by a rule where `structures_for` would leave it dense.

    Returns:
        The pruned model, of the same class (or a subclass of it, if subclassed).

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the model is not built, is pruned already, has nothing to prune, holds NaN,
            or cannot be copied; if a rule matches nothing; or if the schedule asks for more than
            the structure can remove of a weight, or of all that share the target.

    Warns:
        UserWarning: naming weights of which blocks are too few for every unit to keep an input, or
            of which `Channel` takes channels away that the model returns.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> pruned = prune(model, tfprune.OneShot(0.5), rules=[(".*/bias", None)])
        >>> [type(layer).__name__ for layer in pruned.layers]
        ['PrunedLayer']
    """
    _require_plain_model(model)
    schedule = _one_schedule(schedule, sparsity)
    require_choice(structure)
    scorer = scorers.get(scorer)
    preferred = preferred_distribution(scorer)
    distributions.choose(distribution, preferred, structure)
    weights = prunable_weights(model)
    prunable = {weight.path for weight in weights}
    others = [variable.path for variable in model.weights if variable.path not in prunable]
    parsed = parse_rules(rules, list(prunable), others, sparsity_of_rule)
    plans = plan_layers(model, schedule, structure, parsed)
    if not any(plan.prunes for plan in plans):
        reasons = sorted({explain_skip(plan.layer) for plan in plans if not plan.weights})
        raise ValueError(
            f"Model '{model.name}' has nothing to prune: "
            f"{'; '.join(reasons) or 'rules or the structure leave every weight dense'}."
        )
    structures = [kind for plan in plans for kind in plan.structures]
    spread = distributions.choose(distribution, preferred, *structures)
    require_totals(plans, spread)
    if distributions.get(spread) is distributions.uniform:
        warn_cut_off(plans)
    warn_outputs(plans, model)
    if isinstance(structure, TargetStructures):
        finals = ByIdentity(pair for plan in plans for pair in zip(plan.weights, plan.finals()))
        warn_below_min_sparsity(structure, model, [finals[weight] for weight in weights])
    options = {"scorer": scorer, "distribution": spread}
    recipe = [{**options, **plan.arguments()} if plan.prunes else None for plan in plans]
    return wrap_by_recipe(model, recipe)


def _one_schedule(
    schedule: Schedule | Callable[[int], float] | float | None, sparsity: float | None
) -> Schedule:
    if sparsity is None:
        return as_schedule(schedule)
    if schedule is not None:
        raise ValueError(
            "`schedule` and `sparsity` exclude each other. "
            f"Received: schedule={schedule!r}, sparsity={sparsity!r}."
        )
    return as_schedule(require_sparsity("sparsity", sparsity))


def _require_plain_model(value: object) -> None:
    model = require_model("model", value)
    if pruned_layers(model):
        raise ValueError(f"Model '{model.name}' is pruned already: strip it first.")
    for layer in outer_layers(model):
        for weight in prunable_weights(layer):
            values = host_array(weight.value)
            bad = int(np.isnan(values).sum())
            if bad:
                raise ValueError(
                    f"Weights must not be NaN. Received: {bad} NaN of {values.size} in "
                    f"'{weight.path}', shape {values.shape}."
                )
