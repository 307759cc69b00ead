"""Sensitivity analysis: what pruning one weight alone costs, for every weight and sparsity."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import keras
import numpy as np

from tfprune import scorers
from tfprune.calibration.evidence import MEMORY_BUDGET
from tfprune.calibration.source import EvidenceOptions, EvidenceSource
from tfprune.pruning.prune_model import prune
from tfprune.reports.sensitivity import Sensitivity
from tfprune.scorers.checked_scores import checked_arrays
from tfprune.scorers.protocol import Evidence, Scorer, ScorerName, needs_of, scores_of
from tfprune.sparsity.rules import require_rules
from tfprune.sparsity.schedules import OneShot
from tfprune.sparsity.selection import Scores
from tfprune.sparsity.structures import (
    Structure,
    StructureChoice,
    Unstructured,
    require_choice,
)
from tfprune.support.arrays import host_array
from tfprune.support.long_work import progress
from tfprune.support.tensors import Data, Loss
from tfprune.support.validation import (
    require_callable,
    require_flag,
    require_number,
    require_seed,
    require_sparsity,
)
from tfprune.wrapping.cohorts import Cohort, cohorts_of
from tfprune.wrapping.mask_update import (
    LiveVariables,
    Update,
    apply_update,
    run_update,
)
from tfprune.wrapping.pruned_layer import pruned_layers

Arrays = dict[str, np.ndarray]


def sensitivity(
    model: keras.Model,
    data: Data | None = None,
    scorer: ScorerName | Scorer = "magnitude",
    loss: Loss = None,
    *,
    metric: Callable[[keras.Model], float] | None = None,
    sparsities: Sequence[float] = (0.5, 0.7, 0.8, 0.9, 0.95),
    structure: Structure | StructureChoice = Unstructured(),
    rules: Sequence[tuple[str, None]] | None = None,
    update_weights: bool = False,
    examples: int | None = 1000,
    seed: int = 0,
    memory_budget: float = MEMORY_BUDGET,
    verbose: bool = True,
) -> Sensitivity:
    """Return the mean loss when each weight alone is pruned to each of several sparsities.

        increase_l(s) = L(w_1, ..., m_l(s) * w_l, ..., w_n) - L(w_1, ..., w_n)

    Nothing is trained. Weights are scored once, on the dense model; what follows are forward passes
    over the examples, as many as there are weights times sparsities.

    Args:
        model: built, plain model; it is not changed.
        data: examples with targets, as in `tfprune.one_shot`; what the scorer needs, inputs alone
            or None, where a `metric` takes the place of the loss.
        scorer: name or scorer object (see `tfprune.scorers`).
        loss: as in `keras.Model.compile`; that of the model by default.
        metric: called with the masked model, to return a number that is the higher the worse; it
            takes the place of the mean loss. It must not change the model.
        sparsities: different fractions of the weight to remove, each in [0, 1), in any order.
        structure: as in `tfprune.prune`. A weight that it cannot be laid over is left out.
        rules: list of (regex, None) for weights to leave out, as in `tfprune.prune`. Weights of
            frozen layers are left out as well.
        update_weights: let the scorer change the kept entries of the pruned weight, if it can
            (WoodFisher, Reconstruction).
        examples: most examples used, >= 2; None uses all there are.
        seed: of the choice of examples, where there are more; an integer in [0, 2^32).
        memory_budget: bytes of per-example gradients to hold in memory, a number > 0; more goes to
            a temporary file, in the folder that the environment variable TMPDIR names.
        verbose: show progress bars, on a terminal.

    Returns:
        The losses, with a table (`print` it) and a plot (`save_plot`).

    Raises:
        TypeError, ValueError: before anything is computed, if an argument is out of its range, or
            as in `tfprune.one_shot`.

    Source: Han et al., "Learning both weights and connections for efficient neural networks",
    NeurIPS 2015 (arXiv 1506.02626), figure 6; Li et al., "Pruning filters for efficient ConvNets",
    ICLR 2017 (arXiv 1608.08710), section 3.2. Both plot accuracy; the loss also tells apart weights
    that change no decision yet.

    Example:
        >>> layers = [keras.layers.Dense(4, name="a"), keras.layers.Dense(1, name="b")]
        >>> model = keras.Sequential([keras.Input((4,)), *layers], name="m")
        >>> x = np.random.default_rng(0).normal(size=(64, 4))
        >>> found = sensitivity(model, (x, x.sum(axis=1)), loss="mse", sparsities=(0, 0.5))
        >>> list(found.losses), found.increases("m/a/kernel")[0]
        (['m/a/kernel', 'm/b/kernel'], 0.0)
    """
    require_flag("update_weights", update_weights)
    require_seed("seed", seed)
    if metric is not None:
        require_callable("metric", metric)
    options = EvidenceOptions(data, loss, examples, memory_budget, verbose)
    wanted = _checked_sparsities(sparsities, structure)
    require_rules(rules)
    scorer = scorers.get(scorer)
    pruned = prune(
        model,
        OneShot(wanted[-1]),
        scorer=scorer,
        structure=structure,
        distribution="uniform",
        rules=rules,
    )
    _require_exclusions(rules or ())
    layers = pruned_layers(pruned)
    (cohort,) = cohorts_of(layers)  # all weights have the same schedule and scorer
    weights = {name: host_array(w.value).copy() for name, w in cohort.trainable().items()}
    if not weights:
        raise ValueError(
            f"Model '{model.name}' must have a prunable weight in a layer that is not frozen. "
            f"Received: only frozen ones, {list(cohort.weights)}."
        )
    source = EvidenceSource(
        pruned, [cohort], options, loss_needed=metric is None, compiled=model, seed=seed
    )

    def cost() -> float:
        if metric is None:
            return cast(float, source.loss())  # it must be there: loss_needed
        return require_number("metric", metric(pruned))

    dense = cost()
    losses: dict[str, dict[float, float]] = {name: {} for name in weights}
    known = _KnownScores(scorer, weights, source, update_weights)
    with progress("Sensitivity", total=len(weights) * len(wanted), quiet=not verbose) as advance:
        for name, sparsity in _pruned_alone(cohort, weights, known, wanted):
            losses[name][sparsity] = cost()
            advance(f"Sensitivity, {name}")
    examples_used = 0 if source.taken is None else source.taken.count
    measured = "loss" if metric is None else getattr(metric, "__name__", type(metric).__name__)
    return Sensitivity(model.name, type(scorer).__name__, examples_used, dense, losses, measured)


class _KnownScores:
    """A scorer that has scored the dense model; it can still change the weights that are kept.

    Args:
        scorer: the scorer.
        weights: name -> values.
        source: of its evidence.
        update_weights: let it change the weights that are kept, if it can.
    """

    def __init__(
        self, scorer: Scorer, weights: Arrays, source: EvidenceSource, update_weights: bool
    ):
        evidence = source.evidence() if needs_of(scorer) else None
        self._scores = checked_arrays(scores_of(scorer, weights, evidence), weights, "Scores")
        self.needs: frozenset[str] = frozenset()
        self.evidence: Evidence | None = (
            None  # of single examples, it is large: kept only where it is used again
        )
        if update_weights and hasattr(scorer, "compensate"):
            self.needs, self.evidence = needs_of(scorer), evidence
            self.compensate = scorer.compensate

    def __call__(self, weights: Arrays, evidence: Evidence | None) -> dict[str, Scores]:
        return {name: self._scores[name] for name in weights}


def _pruned_alone(
    cohort: Cohort, weights: Arrays, known: _KnownScores, sparsities: list[float]
) -> Iterator[tuple[str, float]]:
    """Yield (name, sparsity) while the model has this weight alone at this sparsity."""
    variables = LiveVariables()
    for name, values in weights.items():
        dense = Update({name: np.ones(values.shape, bool)}, {name: values})
        for sparsity in sparsities:
            alone = dataclasses.replace(
                cohort.only([name]), schedule=OneShot(sparsity), scorer=known
            )
            run_update([(alone, 0)], lambda step: cast(Evidence, known.evidence), variables)
            yield name, sparsity
            apply_update(alone, dense, variables)


def _checked_sparsities(sparsities: Sequence[float], structure: object) -> list[float]:
    """Return the sparsities in ascending order, once they and the structure are checked."""
    require_choice(structure)
    known = isinstance(sparsities, Sequence) or getattr(sparsities, "ndim", 0) > 0
    if isinstance(sparsities, str) or not known:
        raise TypeError(
            "`sparsities` must be a sequence of numbers in [0, 1). "
            f"Received: sparsities={sparsities!r} (of type {type(sparsities).__name__})."
        )
    found = sorted(require_sparsity("sparsities", value) for value in sparsities)
    if not found or len(set(found)) < len(found):
        raise ValueError(
            "`sparsities` must be different numbers in [0, 1), at least one. "
            f"Received: sparsities={sparsities!r}."
        )
    return found


def _require_exclusions(rules: Sequence[tuple[str, object]]) -> None:
    for rule in rules:
        if rule[1] is not None:
            raise TypeError(
                "A rule of sensitivity analysis must be (regex, None), which leaves the weight "
                f"out. Received: {rule!r}."
            )
