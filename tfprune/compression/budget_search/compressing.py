"""compress: the least loss that a budget of bytes, multiply-adds, time or memory allows."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import cast

import keras

from tfprune.calibration.batch_norm import refresh_batch_norm
from tfprune.calibration.example_source import ExampleSource
from tfprune.calibration.source import EvidenceOptions
from tfprune.compression.budget_search.budgets import TOLERANCE, Limits, Scales, read_budget
from tfprune.compression.budget_search.building import as_in_file, plain_of
from tfprune.compression.budget_search.compression_plan import CompressionPlan, Tried
from tfprune.compression.budget_search.losses import How, LossMeter, as_outputs
from tfprune.compression.budget_search.meeting import Made, best_of
from tfprune.compression.budget_search.places import left_out, require_rules_to_leave
from tfprune.compression.budget_search.searching import ways_within
from tfprune.compression.budget_search.starts import Wish
from tfprune.compression.budget_search.stored_sizes import FileKind
from tfprune.compression.budget_search.ways import Way
from tfprune.compression.finished_models import finished
from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.compiling import compile_like
from tfprune.scorers.protocol import Scorer, ScorerName
from tfprune.support.tensors import Data, Loss
from tfprune.support.validation import require_flag, require_one_of, require_seed
from tfprune.targets.structures import structures_for
from tfprune.targets.target import QUANTIZE, TARGETS, QuantizeName, TargetName, require_target
from tfprune.wrapping.pruned_layer import pruned_layers

METHODS = ("pruning", "channels", "rank", "levels", "bits")
MEASURES = ("outputs", "loss")


def compress(
    model: keras.Model,
    budget: Mapping[str, float],
    data: Data,
    *,
    loss: Loss = None,
    methods: Sequence[str] = METHODS,
    target: TargetName | None = None,
    quantize: QuantizeName | None | str = "search",
    scorer: ScorerName | Scorer | None = None,
    measure: str = "outputs",
    rules: Sequence[tuple[str, None]] | None = None,
    examples: int | None = 1000,
    seed: int = 0,
    verbose: bool = True,
) -> tuple[keras.Model, CompressionPlan]:
    """Return a model within a budget that loses as little as is found, and the plan that led to it.

    Everything that `methods` allow is tried on each weight alone: zeros, factors of a lower rank,
    few values. How far the outputs are off then, and what it saves, goes into a dynamic program
    that chooses for all weights at once: for the whole model, for models with fewer channels, for
    some with factors that become sparse or few values in turn, and for files of other bits. What
    promises most is built, written as a file, measured, and corrected until it is within 3 % of the
    budget. Options are measured again with that beside them, and chosen anew, as long as that
    helps. Half of the examples decide what becomes of a weight (which zeros, which factors), the
    others measure it: what is fitted to some examples looks better on them than it is. Statistics
    of batch normalization are estimated throughout. Frozen weights lose channels and bits alone,
    and so do several weights of one path; the plan names them.

    Args:
        model: built; it is not changed. A pruned one must be pruned to the end.
        budget: one or several of "bytes" and "gzip_bytes" (of the exported file, alone or
            compressed), "macs" (multiply-adds of one example), "latency_ms" (of one inference in
            LiteRT on one thread of this machine) and "arena" (bytes that tflite-micro takes to run
            it). Below 1, a number is a fraction of what the model costs as a float32 file, but for
            "latency_ms".
        data: examples with targets, as in `tfprune.one_shot`.
        loss: as in `keras.Model.compile`; that of the model by default.
        methods: any of "pruning", "channels", "rank", "levels" (few values, where they save bytes:
            after gzip, and for microcontrollers) and "bits" (of all weights in the file).
        target: of the file, as in `tfprune.export.to_tflite`; by default "microcontroller" for an
            arena, "auto" for a latency, else "size".
        quantize: the same; "search" compares those that `methods` and the budget allow.
        scorer: of the weights that are removed, as in `tfprune.one_shot`.
        measure: what the search keeps low: "outputs", the mean squared change of the outputs (of
            the logits, where they are probabilities), held in memory; or "loss". Changes of the
            outputs add up; a loss on data that was learned hardly rises before much is lost.
        rules: list of (regex, None) for weights that stay as they are but for bits of the file.
        examples: most examples used, >= 2; None uses all. Of fewer than 4, all do both.
        seed: of the choice of examples; an integer in [0, 2^32).
        verbose: show progress, and print the plan before the model is built.

    Returns:
        A model to train on, whose zeros, factors and few values stay; `tfprune.strip_pruning` makes
        a plain one of it, to be exported with the plan's `target` and `quantize`. With channels,
        factors or bits alone it is plain already, as `plan.is_plain` says. And the plan.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if one is out of its range, the data does not fit, the model has no kernels,
            meets the budget as it is, or cannot be brought within it (the message says how far it
            got).

    Warns:
        UserWarning: if nothing was found within 3 % below the budget, only less; and what the
            methods warn of where they made the result.

    Source: Frantar & Alistarh, "SPDY: Accurate Pruning with Speedup Guarantees", ICML 2022 (arXiv
    2201.13096), for the search.

    Deviations: what options cost is measured on the whole model, of each alone; several methods and
    budgets; sensitivities are not searched for but measured again beside what was chosen.

    Example:
        >>> import numpy as np
        >>> keras.utils.set_random_seed(0)
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(32, "relu"),
        ...     keras.layers.Dense(1)])
        >>> x = np.random.default_rng(0).normal(size=(64, 8))
        >>> options = {"loss": "mse", "methods": ["channels"], "verbose": False}
        >>> small, plan = compress(model, {"macs": 0.5}, (x, x[:, :1]), **options)
        >>> small.layers[0].units, plan.after["macs"] / plan.before["macs"]
        (16, 0.5)
    """
    asked = read_budget(budget)
    allowed = _listed(methods)
    if quantize != "search":
        require_one_of("quantize", quantize, QUANTIZE)
    require_one_of("measure", measure, MEASURES)
    require_flag("verbose", verbose)
    require_seed("seed", seed)
    EvidenceOptions(data, loss, examples)
    aim = _target(asked, target)
    plain = finished(model, "it is compressed")
    untried = left_out(plain)
    require_rules_to_leave(plain, rules)
    if "macs" in asked and graph_of(plain) is None:
        raise ValueError(
            "A budget of 'macs' needs a Sequential or Functional model. Received: "
            f"'{plain.name}' of class {type(plain).__name__}."
        )
    kinds = _kinds(aim, quantize, allowed, asked)
    taken = ExampleSource(data).take(examples, seed=seed)
    few = "levels" in allowed and ("gzip_bytes" in asked or TARGETS[aim].in_tflite_micro)
    structures = structures_for(aim, quantize=kinds[0].quantize)
    fitted, held_out = taken.halves(seed)
    how = How(fitted, loss, scorer, structures, few)

    def loss_held_out(other: keras.Model) -> float:
        return LossMeter(other, held_out, loss, model)()

    loss_before = loss_held_out(plain)
    base = plain_of(plain)
    refresh_batch_norm(base, fitted)  # as in all that is compared with it
    measured = as_outputs(base, held_out) if measure == "outputs" else (held_out, loss)
    wish = Wish(allowed, how, rules, model, measured, quiet=not verbose)
    with warnings.catch_warnings(), Scales(plain, asked, taken) as scales:
        warnings.simplefilter("ignore", UserWarning)  # of models that are only tried
        before = scales.weigh(plain, FileKind(aim, None))
        limits = Limits.of(asked, before)
        if limits.fit(before):
            raise ValueError(
                f"`budget` must be below what '{plain.name}' costs. "
                f"Received: budget={dict(budget)!r}; it costs {_told(before)}."
            )
        found, least = ways_within(base, limits, before, kinds, scales, wish)
        if not found:
            raise _out_of_reach(plain.name, budget, limits, allowed, least, untried)

        def plan_of(way: Way, tried: Sequence[Tried], made: Made | None = None) -> CompressionPlan:
            return CompressionPlan(
                plain.name,
                aim,
                way.kind.quantize,
                way.start.left,
                way.decisions,
                dict(limits.most),
                before,
                {} if made is None else made.costs,
                loss_before,
                None if made is None else loss_held_out(as_in_file(made.model, way.kind)),
                measure,
                way.predicted,
                None if made is None else made.loss,
                held_out.count,
                tuple(tried),
                untried,
                made is not None and not pruned_layers(made.model),
            )

        if verbose:
            print(plan_of(found[0], [Tried(way.in_words, way.predicted) for way in found]))
        best, built = best_of(found, limits, scales, wish)
        if not limits.fit(best.costs):
            raise _out_of_reach(plain.name, budget, limits, allowed, best.costs, untried)
    for warning in best.warned:
        warnings.warn(warning, stacklevel=2)
    if limits.used(best.costs) < 1 - TOLERANCE:
        warnings.warn(
            f"'{plain.name}' is more than {TOLERANCE:.0%} below its budget: nothing in between "
            f"was found that loses less. It costs {_told(best.costs)} of {_told(limits.most)}.",
            stacklevel=2,
        )
    compile_like(model, best.model, "The compressed model")
    return best.model, plan_of(best.way, built, best)


def _listed(methods: object) -> tuple[str, ...]:
    """Return the methods, once each is known."""
    if isinstance(methods, str) or not isinstance(methods, Sequence) or not methods:
        raise TypeError(
            f"`methods` must be a list of some of {', '.join(METHODS)}. "
            f"Received: methods={methods!r}."
        )
    for method in methods:
        require_one_of("methods", method, METHODS)
    return tuple(methods)


def _target(asked: Mapping[str, float], target: TargetName | None) -> TargetName:
    """Return the target of the file: the given one, or the one that the budget is about."""
    if target is None:
        timed: TargetName = "auto" if "latency_ms" in asked else "size"
        return "microcontroller" if "arena" in asked else timed
    name = cast(TargetName, require_target(target))
    if "arena" in asked and not TARGETS[name].in_tflite_micro:
        raise ValueError(
            "A budget of 'arena' needs target='microcontroller'. "
            f"Received: target={target!r}, budget={dict(asked)!r}."
        )
    return name


def _kinds(
    target: TargetName,
    quantize: QuantizeName | str | None,
    methods: Collection[str],
    asked: Mapping[str, float],
) -> list[FileKind]:
    """Return the kinds of file to compare, the smallest first."""
    if quantize != "search":
        return [FileKind(target, cast(QuantizeName | None, quantize))]
    if TARGETS[target].in_tflite_micro:
        return [FileKind(target, "int8")]
    if "bits" in methods and set(asked) & {"bytes", "gzip_bytes"}:
        names: tuple[QuantizeName | None, ...] = ("int8_weights", "float16", None)
        return [FileKind(target, name) for name in names]
    return [FileKind(target, None)]


def _told(costs: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {cost:,.6g}" for name, cost in costs.items())


def _out_of_reach(
    name: str,
    budget: Mapping[str, float],
    limits: Limits,
    methods: Sequence[str],
    least: Mapping[str, float],
    untried: Sequence[str],
) -> ValueError:
    left = f"; without zeros, factors and few values: {'; '.join(untried)}" * bool(untried)
    return ValueError(
        f"`budget` must be within reach of {', '.join(methods)}. Received: "
        f"budget={dict(budget)!r} for '{name}', at most {_told(limits.most)}; it got as far as "
        f"{_told(least)}{left}."
    )
