"""One-shot pruning of a trained model, in one or several stages of scoring and removal."""

import dataclasses
import numbers
from collections.abc import Callable, Sequence

import keras

from tfprune import scorers
from tfprune.calibration.batch_norm import refresh_batch_norm as refresh
from tfprune.calibration.derivatives import BACKENDS
from tfprune.calibration.evidence import MEMORY_BUDGET
from tfprune.calibration.input_moments import moment_shapes
from tfprune.calibration.source import EvidenceOptions, EvidenceSource
from tfprune.keras_graph.compiling import compile_like
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.pruning.coupled_weights import coupling_of
from tfprune.pruning.frozen_weights import warn_frozen
from tfprune.pruning.prune_model import prune
from tfprune.reports.measuring import report
from tfprune.reports.one_shot_report import OneShotReport, StageResult
from tfprune.scorers.protocol import Scorer, ScorerName
from tfprune.sparsity.distributions import Distribution, DistributionName
from tfprune.sparsity.rules import Rules, require_rules
from tfprune.sparsity.stages import Stages
from tfprune.sparsity.structures import Structure, StructureChoice, Unstructured
from tfprune.support import long_work
from tfprune.support.tensors import Data, Loss
from tfprune.support.validation import (
    require_callable,
    require_flag,
    require_model,
    require_seed,
)
from tfprune.wrapping.cohorts import cohorts_of
from tfprune.wrapping.mask_update import LiveVariables, UpdateOptions, run_update
from tfprune.wrapping.pruned_layer import pruned_layers
from tfprune.wrapping.shortfall import notice_of


def one_shot(
    model: keras.Model,
    sparsity: float,
    scorer: ScorerName | Scorer | None = None,
    data: Data | None = None,
    loss: Loss = None,
    *,
    stages: int | Sequence[float] = 1,
    update_weights: bool = True,
    refresh_batch_norm: bool = True,
    structure: Structure | StructureChoice = Unstructured(),
    distribution: DistributionName | Distribution | None = None,
    rules: Rules | None = None,
    spacing: str = "geometric",
    examples: int | None = 1000,
    seed: int = 0,
    memory_budget: float = MEMORY_BUDGET,
    on_stage: Callable[[keras.Model, StageResult], None] | None = None,
    verbose: bool = True,
) -> tuple[keras.Model, OneShotReport]:
    """Return a pruned copy of a trained model, and what pruning did to its loss.

    Each stage scores the weights that are left and removes some. The copy is masked: fine-tune it
    with `fit` (its masks are finished and stay) or strip it with `tfprune.strip_pruning`.

    Args:
        model: built, plain model; it is not changed.
        sparsity: fraction of the weights to remove, in [0, 1).
        scorer: name or scorer object (see `tfprune.scorers`). None is magnitude without data; with
            data it is what has kept the most accuracy so far and fits the model, which the report
            names: layer-wise reconstruction with one threshold over all layers, or Taylor where a
            layer's inputs are not known to make its outputs and there are targets and a loss.
        data: calibration examples: (x, y) or (x, y, sample_weight) of arrays or nests of them, a
            batched `tf.data.Dataset`, a `keras.utils.PyDataset`, or an iterable of batches, whose
            lengths may differ, as those of sentences do. Inputs alone will do for scorers that look
            at no loss, and None for those that look at weights alone ("magnitude", "random").
        loss: as in `keras.Model.compile`; that of the model by default. It must be there for
            scorers that look at it, and is measured wherever it is and the data has targets.
        stages: rounds of scoring and removal, >= 1; or the sparsity after each of them, rising to
            `sparsity`.
        update_weights: let the scorer change the kept weights, if it can (WoodFisher,
            Reconstruction).
        refresh_batch_norm: re-estimate batch-normalization statistics on the examples at the end,
            if there are any.
        structure: as in `tfprune.prune`.
        distribution: as in `tfprune.prune`.
        rules: as in `tfprune.prune`; values are None (stays dense) or a final sparsity.
        spacing: "geometric" removes the same share of what is left in every stage, "linear" the
            same number of weights.
        examples: most examples used, >= 2; None uses all there are.
        seed: of the choice of examples, where there are more; an integer in [0, 2^32).
        memory_budget: bytes, a number > 0. Per-example gradients beyond it go to a temporary file,
            in the folder that the environment variable TMPDIR names; moments of layers' inputs
            beyond it are measured one part of the layers after another.
        on_stage: called after each stage with the masked model as it is then, to measure or to save
            it, and the result of the stage; it must not change the model.
        verbose: show progress, with a line a stage where all take over ten seconds, and say
            beforehand what does.

    Returns:
        The masked model, compiled as `model` is with a fresh optimizer, and a report with the
        predicted and the measured change of the loss (None where there is no loss to measure).

    Raises:
        TypeError, ValueError: before anything is computed, if an argument is out of its range, the
            data is missing where it is needed, is empty, has the wrong shapes or gives a loss that
            is not finite, a weight gets no gradient, or the model lacks what the scorer needs.

    Warns:
        UserWarning: naming the layers that are frozen, and stay as they are.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="a")])
        >>> data = np.random.default_rng(0).normal(size=(64, 4)), np.ones((64, 1))
        >>> pruned, report = one_shot(model, 0.5, "fisher", data, "mse")
        >>> report.examples, len(report.stages), pruned.layers[0].pruning_step.numpy().item()
        (64, 1, 1)
    """
    require_flag("refresh_batch_norm", refresh_batch_norm)
    require_flag("update_weights", update_weights)
    require_seed("seed", seed)
    if on_stage is not None:
        require_callable("on_stage", on_stage)
    options = EvidenceOptions(data, loss, examples, memory_budget, verbose)
    if scorer is None:
        scorer, distribution = _best_for(model, options, distribution)
    scorer = scorers.get(scorer)
    schedule = Stages(sparsity, stages, spacing)
    _require_plain_rules(require_rules(rules))
    pruned = prune(
        model,
        schedule,
        scorer=scorer,
        structure=structure,
        distribution=distribution,
        rules=rules,
    )
    layers = pruned_layers(pruned)
    notice = notice_of(layers)
    notice.told = True  # what `on_stage` saves or reports has the zeros of its stage
    cohorts = cohorts_of(layers)
    if not any(cohort.trainable() for cohort in cohorts):
        raise ValueError(
            f"Model '{model.name}' must have a prunable weight in a layer that is not frozen. "
            f"Received: only frozen ones, {[name for c in cohorts for name in c.weights]}."
        )
    source = EvidenceSource(pruned, cohorts, options, compiled=model, seed=seed)
    updates = UpdateOptions(
        update_weights=update_weights,
        predict=True,
        coupled=coupling_of(pruned, cohorts),
        announced=schedule.count if verbose else 0,
    )
    results: list[StageResult] = []
    done = long_work.stages(schedule.count, quiet=not verbose)
    for stage in range(1, schedule.count + 1):
        before = results[-1].loss_after if results else source.loss()
        due = [(cohort, stage) for cohort in cohorts]
        made = run_update(due, lambda step: source.evidence(), LiveVariables(), updates)
        updates = dataclasses.replace(updates, announced=0)
        predicted = _total([update.predicted for update in made])
        after = source.loss()
        results.append(StageResult(schedule(stage), before, predicted, after))
        done(f"{schedule(stage):.2f}" + ("" if after is None else f", loss {after:.3g}"))
        if on_stage is not None:
            on_stage(pruned, results[-1])
    frozen = [(cohort, schedule.count) for cohort in cohorts]
    remedy = "Unfreeze them (trainable = True) first, to have them pruned."
    notice.told = warn_frozen(frozen, remedy, stacklevel=3)
    for layer in layers:
        layer.pruning_step.assign(schedule.count)  # no update is left to make
    refreshed = 0
    if refresh_batch_norm and source.taken is not None:
        refreshed = refresh(pruned, source.taken)
    left = report(pruned, verbose=False).parameters
    compile_like(model, pruned, "The pruned copy")
    return pruned, OneShotReport(
        scorer=type(scorer).__name__,
        examples=0 if source.taken is None else source.taken.count,
        batch_norm_examples=refreshed,
        stages=tuple(results),
        loss_after=source.loss() if refreshed else results[-1].loss_after,
        parameters=left.size,
        nonzeros=left.nonzeros,
    )


def _best_for(
    model: keras.Model,
    options: EvidenceOptions,
    distribution: DistributionName | Distribution | None,
) -> tuple[ScorerName, DistributionName | Distribution | None]:
    """Return the scorer that a model and its data allow, and the distribution to use it with."""
    if options.data is None:
        return "magnitude", distribution
    prunable = prunable_weights(require_model("model", model))
    try:
        moment_shapes(model, {str(number): weight for number, weight in enumerate(prunable)})
    except ValueError:
        loss = options.loss is not None or getattr(model, "loss", None) is not None
        gradients = loss and keras.config.backend() in BACKENDS
        return ("taylor" if gradients else "magnitude"), distribution
    return "reconstruction", "global" if distribution is None else distribution


def _total(predictions: list[float | None]) -> float | None:
    """Return the predicted change of the loss, None unless every scorer predicts its part."""
    known = [value for value in predictions if value is not None]
    return sum(known) if known and len(known) == len(predictions) else None


def _require_plain_rules(rules: Rules) -> None:
    for rule in rules:
        if not (rule[1] is None or isinstance(rule[1], numbers.Real)):
            raise TypeError(
                "A rule of one-shot pruning must be (regex, sparsity) or (regex, None). "
                f"Received: {rule!r}."
            )
