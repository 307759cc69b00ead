"""prune and strip_pruning: from a plain Keras model to a pruned one, and back."""

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfprune import scorers
from tfprune.keras_graph.rebuilding import rebuild, units
from tfprune.layer_classes.prunable import explain_skip, prunable_weights
from tfprune.pruning.saving import wrap_by_recipe
from tfprune.pruning.starved_units import warn_cut_off
from tfprune.scorers.protocol import preferred_distribution
from tfprune.sparsity import distributions
from tfprune.sparsity.schedules import Schedule, as_schedule, final_sparsity
from tfprune.sparsity.structures import (
    Structure,
    StructureChoice,
    Unstructured,
    require_choice,
    require_reachable,
)
from tfprune.support.arrays import host_array
from tfprune.support.validation import require_sparsity
from tfprune.targets.structures import TargetStructures, warn_below_min_sparsity
from tfprune.wrapping.keep_zeros import keep_zeros_of
from tfprune.wrapping.other_transforms import refuse_averages
from tfprune.wrapping.pruned_layer import pruned_layers

Rules = Sequence[tuple[str, Any]]


def prune(
    model: keras.Model,
    schedule: Any,
    *,
    scorer: Any = "magnitude",
    structure: Structure | StructureChoice = Unstructured(),
    distribution: Any = None,
    rules: Rules | None = None,
) -> keras.Model:
    """Return a copy of the model whose prunable layers are wrapped in `PrunedLayer`.

    The copy shares nothing with `model`, which is not changed. Compile it, train it with the
    callback `tfprune.UpdatePruningStep()`, then call `tfprune.strip_pruning`. Layers with nothing
    to prune stay as they are (`tfprune.report` lists them with the reason).

    Args:
        model: built Sequential, Functional or subclassed `keras.Model`.
        schedule: `PolynomialDecay`, `ConstantSparsity`, `OneShot`, or a function
            step -> sparsity in [0, 1).
        scorer: name or scorer object (see `tfprune.scorers`); larger scores are kept.
        structure: which weights are removed together: `Unstructured()`, `Block(h, w)`,
            `NofM(kept, m)` or `Channel(axis)`. A weight that it cannot be laid over stays dense.
            Or `tfprune.structures_for(target)`, which gives each weight its own.
        distribution: "uniform" (every weight at the target), "erk", "global" (one threshold over
            all layers) or a function (see `tfprune.distributions`). None is what the scorer was
            made for: "uniform" unless the scorer says otherwise.
        rules: list of (regex, value), first match wins. The regex must match the whole path of a
            weight, or the path from any "/" on: "conv1/.*" matches "my_model/conv1/kernel". The
            value is None (stays dense), a final sparsity, or a schedule of its own. Ruled weights
            do not take part in the distribution. Elements of a weight are pruned by a rule where
            `structures_for` would leave it dense.

    Returns:
        The pruned model, of the same class (or a subclass of it, if subclassed).

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the model is not built, is pruned already, has nothing to prune, holds NaN,
            or cannot be copied; if a rule matches nothing; or if the schedule asks for more than
            the structure can remove.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> pruned = prune(model, tfprune.OneShot(0.5), rules=[(".*/bias", None)])
        >>> [type(layer).__name__ for layer in pruned.layers]
        ['PrunedLayer']
    """
    _require_plain_model(model)
    schedule = as_schedule(schedule)
    require_choice(structure)
    scorer = scorers.get(scorer)
    distribution = distributions.choose(distribution, preferred_distribution(scorer), structure)
    options = {"scorer": scorer, "distribution": distribution}
    parts = units(model)
    matched = _match_rules(model, rules or ())
    structures = _structure_of_each(model, structure, matched)
    schedules = {
        id(weight): _schedule_for(weight, schedule, structures[id(weight)], matched)
        for unit in parts
        for weight in prunable_weights(unit)
    }
    recipe: list[dict[str, Any] | None] = []
    for unit in parts:
        ids = [id(weight) for weight in prunable_weights(unit)]
        plan = {
            "schedule": joined([schedules[key] for key in ids]),
            "structure": joined([structures[key] for key in ids]),
        }
        wanted = any(schedules[key] is not None for key in ids)
        recipe.append({**options, **plan} if wanted else None)
    if all(entry is None for entry in recipe):
        reasons = sorted({explain_skip(u) for u in parts if not prunable_weights(u)})
        raise ValueError(
            f"Model '{model.name}' has nothing to prune: "
            f"{'; '.join(reasons) or 'rules or the structure leave every weight dense'}."
        )
    finals = {k: 0.0 if s is None else final_sparsity(s) for k, s in schedules.items()}
    if distributions.get(distribution) is distributions.uniform:
        warn_cut_off(model, structures, finals)
    if isinstance(structure, TargetStructures):
        warn_below_min_sparsity(structure, model, finals)
    return wrap_by_recipe(model, recipe)


def joined(values: list[Any]) -> Any:
    """Return the one value that all equal, or the list where they differ.

    Example:
        >>> joined([1, 1]), joined([1, None])
        (1, [1, None])
    """
    return values[0] if values and all(item == values[0] for item in values) else values


def strip_pruning(model: keras.Model, *, keep_masks: bool = False) -> keras.Model:
    """Return a plain Keras model with exact zeros where the masks are, of the same class and names.

    Args:
        model: a model with `PrunedLayer`s, from `tfprune.prune` or built with them.
        keep_masks: keep the zeros in further training: every pruned weight gets a constraint that
            sets them again after each optimizer step. The constraint is not saved with the model.

    Returns:
        A model that shares nothing with `model` and needs no tfprune to be loaded. Compile it again
        to train or evaluate it.

    Raises:
        TypeError: if `model` is not a `keras.Model`.
        ValueError: if it has no `PrunedLayer` or cannot be copied.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> plain = strip_pruning(prune(model, tfprune.OneShot(0.5)))
        >>> [type(layer).__name__ for layer in plain.layers]
        ['Dense']
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a keras.Model. "
            f"Received: model={model!r} (of type {type(model).__name__})."
        )
    wrappers = pruned_layers(model)
    if not wrappers:
        raise ValueError(f"Model '{model.name}' has no pruned layers: it is plain already.")
    owned = {id(own.weight): own for wrapper in wrappers for own in wrapper.pruned}
    # 0 * negative is -0.0, which compresses worse than 0.0; adding 0.0 turns it into 0.0.
    masked = {key: own.masked_value() + 0.0 for key, own in owned.items()}
    stripped = rebuild(model, lambda layer, copy: copy, substitutes=masked)
    if keep_masks:
        for unit in units(stripped):
            for weight in prunable_weights(unit):
                keep_zeros_of(weight)
        refuse_averages(stripped)
    return stripped


def _require_plain_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        hint = " Use tfprune.PrunedLayer for one layer." * isinstance(model, keras.layers.Layer)
        raise TypeError(
            f"`model` must be a keras.Model.{hint} "
            f"Received: model={model!r} (of type {type(model).__name__})."
        )
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' must be built: give it a keras.Input, or call it on a batch."
        )
    if pruned_layers(model):
        raise ValueError(f"Model '{model.name}' is pruned already: strip it first.")
    for unit in units(model):
        for weight in prunable_weights(unit):
            values = host_array(weight.value)
            bad = int(np.isnan(values).sum())
            if bad:
                raise ValueError(
                    f"Weights must not be NaN. Received: {bad} NaN of {values.size} in "
                    f"'{weight.path}', shape {values.shape}."
                )


def _match_rules(model: keras.Model, rules: Rules) -> dict[int, Any]:
    """Return id of variable -> value of the first rule that matches its path."""
    if isinstance(rules, str | dict) or not isinstance(rules, Sequence):
        raise TypeError(f"`rules` must be a list of (regex, value). Received: rules={rules!r}.")
    prunable = {id(weight) for unit in units(model) for weight in prunable_weights(unit)}
    matched: dict[int, Any] = {}
    for rule in rules:
        pattern, value = _checked_rule(rule)
        hits = [v for v in model.weights if _matches(pattern, v.path)]
        usable = hits if value is None else [v for v in hits if id(v) in prunable]
        if not usable:
            paths = ", ".join(sorted(v.path for v in model.weights if id(v) in prunable)[:8])
            raise ValueError(
                f"A rule must match at least one {'' if value is None else 'prunable '}weight. "
                f"Received: {rule!r}; prunable weights: {paths}."
            )
        for variable in usable:
            matched.setdefault(id(variable), value)
    return matched


def _checked_rule(rule: Any) -> tuple[re.Pattern[str], Any]:
    if not (isinstance(rule, Sequence) and len(rule) == 2 and isinstance(rule[0], str)):
        raise TypeError(f"A rule must be a pair (regex, value). Received: {rule!r}.")
    pattern, value = rule
    if value is not None and isinstance(value, int | float):
        require_sparsity(f"sparsity of rule {pattern!r}", value)
    elif value is not None:
        value = as_schedule(value)
    try:
        return re.compile(pattern), value
    except re.error as error:
        raise ValueError(f"A rule must be a valid regex ({error}). Received: {rule!r}.") from error


def _matches(pattern: re.Pattern[str], path: str) -> bool:
    starts = [0, *(match.end() for match in re.finditer("/", path))]
    return any(pattern.fullmatch(path, start) for start in starts)


def _structure_of_each(
    model: keras.Model, structure: Structure | StructureChoice, matched: dict[int, Any]
) -> dict[int, Structure | None]:
    if isinstance(structure, StructureChoice):
        elements = {key: Unstructured() for key, value in matched.items() if value is not None}
        chosen = structure.assign(model)
        return {key: kind or elements.get(key) for key, kind in chosen.items()}
    return {id(weight): structure for unit in units(model) for weight in prunable_weights(unit)}


def _schedule_for(
    weight: keras.Variable,
    schedule: Schedule,
    structure: Structure | None,
    matched: dict[int, Any],
) -> Schedule | None:
    if structure is None:
        return None
    value = matched.get(id(weight), schedule)
    if isinstance(value, int | float):
        if not hasattr(schedule, "with_final_sparsity"):
            raise ValueError(
                "A rule with a number needs a schedule with a final sparsity; give the rule a "
                f"schedule of its own. Received: {value!r} for '{weight.path}'."
            )
        value = schedule.with_final_sparsity(value)
    try:
        structure.check(tuple(weight.shape))
    except ValueError:
        return None
    if value is not None:
        require_reachable(structure, value)
    return value
