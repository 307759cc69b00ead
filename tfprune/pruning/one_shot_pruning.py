"""One-shot pruning of a trained model, in one or several stages of scoring and removal."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tfprune import scorers
from tfprune.calibration.batch_norm import refresh_batch_norm as refresh
from tfprune.calibration.evidence import MEMORY_BUDGET
from tfprune.calibration.source import EvidenceOptions, EvidenceSource
from tfprune.pruning.prune_model import prune
from tfprune.pruning.rules import Rules
from tfprune.reports.model_report import report
from tfprune.reports.one_shot_report import OneShotReport, StageResult
from tfprune.sparsity.stages import Stages
from tfprune.sparsity.structures import Structure, StructureChoice, Unstructured
from tfprune.support.arrays import host_array
from tfprune.wrapping.mask_update import LiveVariables, WeightGroup, grouped
from tfprune.wrapping.pruned_layer import pruned_layers

Arrays = dict[str, np.ndarray]


def one_shot(
    model: keras.Model,
    sparsity: float,
    scorer: Any,
    data: Any,
    loss: Any = None,
    *,
    stages: int | Sequence[float] = 1,
    update_weights: bool = True,
    refresh_batch_norm: bool = True,
    structure: Structure | StructureChoice = Unstructured(),
    distribution: Any = None,
    rules: Rules | None = None,
    spacing: str = "geometric",
    examples: int | None = 1000,
    seed: int = 0,
    memory_budget: int = MEMORY_BUDGET,
    on_stage: Callable[[keras.Model, StageResult], None] | None = None,
    verbose: bool = True,
) -> tuple[keras.Model, OneShotReport]:
    """Return a pruned copy of a trained model, and what pruning did to its loss.

    Each stage scores the weights that are left and removes some. The copy is masked: fine-tune it
    with `fit` (its masks are finished and stay) or strip it with `tfprune.strip_pruning`.

    Args:
        model: built, plain model; it is not changed.
        sparsity: fraction of the weights to remove, in [0, 1).
        scorer: name or scorer object (see `tfprune.scorers`).
        data: calibration examples: (x, y) or (x, y, sample_weight) of arrays or nests of them, a
            batched `tf.data.Dataset`, a `keras.utils.PyDataset`, or an iterable of batches.
        loss: as in `keras.Model.compile`; that of the model by default.
        stages: rounds of scoring and removal, >= 1; or the sparsity after each of them, rising to
            `sparsity`.
        update_weights: let the scorer change the kept weights, if it can (WoodFisher,
            Reconstruction).
        refresh_batch_norm: re-estimate batch-normalization statistics on the examples at the end.
        structure: as in `tfprune.prune`.
        distribution: as in `tfprune.prune`.
        rules: as in `tfprune.prune`; values are None (stays dense) or a final sparsity.
        spacing: "geometric" removes the same share of what is left in every stage, "linear" the
            same number of weights.
        examples: most examples used, >= 2; None uses all there are.
        seed: of the choice of examples, where there are more.
        memory_budget: bytes of per-example gradients to hold in memory; more goes to disk.
        on_stage: called after each stage with the masked model as it is then, to measure or to save
            it, and the result of the stage; it must not change the model.
        verbose: show progress bars, on a terminal.

    Returns:
        The masked model, and a report with the predicted and the measured change of the loss.

    Raises:
        TypeError, ValueError: before anything is computed, if an argument is out of its range, the
            data is empty, has the wrong shapes or gives a loss that is not finite, a weight gets no
            gradient, or the model lacks what the scorer needs.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="a")])
        >>> data = np.random.default_rng(0).normal(size=(64, 4)), np.ones((64, 1))
        >>> pruned, report = one_shot(model, 0.5, "fisher", data, "mse")
        >>> report.examples, len(report.stages), pruned.layers[0].pruning_step.numpy().item()
        (64, 1, 1)
    """
    scorer = scorers.get(scorer)
    schedule = Stages(sparsity, stages, spacing)
    _require_plain_rules(rules or ())
    pruned = prune(
        model,
        schedule,
        scorer=scorer,
        structure=structure,
        distribution=distribution,
        rules=rules,
    )
    layers = pruned_layers(pruned)
    groups = grouped(layers)
    options = EvidenceOptions(data, loss, examples, memory_budget, quiet=not verbose)
    source = EvidenceSource(pruned, groups, options, compiled=model, seed=seed)
    results: list[StageResult] = []
    for stage in range(1, schedule.count + 1):
        before = results[-1].loss_after if results else source.loss()
        predicted = _make_stage(source, groups, stage, update_weights)
        after = source.loss()
        results.append(StageResult(schedule(stage), before, predicted, after))
        if on_stage is not None:
            on_stage(pruned, results[-1])
    for layer in layers:
        layer.pruning_step.assign(schedule.count)
        layer.has_updater = True  # no update is left to make
    refreshed = refresh(pruned, source.taken.x) if refresh_batch_norm else 0
    left = report(pruned, verbose=False).parameters
    return pruned, OneShotReport(
        scorer=type(scorer).__name__,
        examples=source.taken.count,
        batch_norm_examples=refreshed,
        stages=tuple(results),
        loss_after=source.loss() if refreshed else results[-1].loss_after,
        parameters=left.size,
        nonzeros=left.nonzeros,
    )


def _make_stage(
    source: EvidenceSource, groups: list[WeightGroup], stage: int, update_weights: bool
) -> float | None:
    """Prune every group once; return the predicted change of the loss if all scorers predict."""
    evidence = source.evidence()
    variables = LiveVariables()
    made = []
    predictions: list[float | None] = []
    for group in groups:
        weights = {name: host_array(w.value).copy() for name, w in group.trainable().items()}
        if not weights:
            continue
        own = evidence.only(list(weights)) if group.asks_gradients(stage) else None
        update = group.update_at(stage, weights, own, update_weights=update_weights)
        made.append((group, update))
        predict = getattr(group.scorer, "predict", None)
        if predict is None or own is None:
            predictions.append(None)
            continue
        before = {name: w * own.masks[name] for name, w in weights.items()}
        after = {n: update.weights.get(n, w) * update.masks[n] for n, w in before.items()}
        predictions.append(float(predict(before, own, after)))
    for group, update in made:
        group.apply(update, variables)
    if not predictions or any(value is None for value in predictions):
        return None
    return sum(value for value in predictions if value is not None)


def _require_plain_rules(rules: Rules) -> None:
    for rule in rules:
        if len(rule) == 2 and not (rule[1] is None or isinstance(rule[1], int | float)):
            raise TypeError(
                "A rule of one-shot pruning must be (regex, sparsity) or (regex, None). "
                f"Received: {rule!r}."
            )
