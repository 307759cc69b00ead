"""Scores of the weights of a plain model, from any scorer, with the evidence that it needs."""

import dataclasses
from collections.abc import Container, Iterable, Iterator

import keras
import numpy as np

from tfprune.calibration.source import EvidenceOptions, EvidenceSource
from tfprune.keras_graph.rebuilding import rebuild
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.scorers.checked_scores import checked_arrays
from tfprune.scorers.protocol import Arrays, Evidence, Scorer, needs_of, scores_of
from tfprune.sparsity.schedules import OneShot
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity, each_once
from tfprune.wrapping.cohorts import cohorts_of, unique_name
from tfprune.wrapping.pruned_layer import PrunedLayer, pruned_layers


def scores_of_weights(
    model: keras.Model,
    weights: Iterable[keras.Variable],
    scorer: Scorer,
    options: EvidenceOptions,
    seed: int = 0,
    compiled: keras.Model | None = None,
) -> ByIdentity[keras.Variable, np.ndarray]:
    """Return weight -> scores of its shape.

    Args:
        model: built, plain model; it is not changed.
        weights: some of its prunable weights.
        scorer: of weights.
        options: data and loss, where the scorer needs them.
        seed: of the choice of examples.
        compiled: model whose loss counts where `options` has none; `model` by default.

    Raises:
        ValueError: if data is missing where it is needed or does not fit, or a score is NaN.

    Example:
        >>> from tfprune.scorers import Magnitude
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[1.0], [-2.0]])])
        >>> found = scores_of_weights(model, model.weights, Magnitude(), EvidenceOptions())
        >>> found[model.weights[0]].ravel().tolist()
        [1.0, 2.0]
    """
    chosen = each_once(weights)
    if not needs_of(scorer):
        return _scores_of_values(model, chosen, scorer)
    found: ByIdentity[keras.Variable, np.ndarray] = ByIdentity()
    for asked in questions(model, chosen, scorer, options, seed, compiled):
        scores = scores_of(scorer, asked.values, asked.evidence)
        scores = checked_arrays(scores, asked.values, "Scores")
        found.update((asked.weights[name], np.asarray(value)) for name, value in scores.items())
    return found


@dataclasses.dataclass(frozen=True)
class Question:
    """What a scorer is asked.

    Attributes:
        values: name -> value of each weight.
        evidence: that it may need.
        weights: name -> weight of the model.
    """

    values: Arrays
    evidence: Evidence
    weights: dict[str, keras.Variable]


def questions(
    model: keras.Model,
    chosen: Container[keras.Variable],
    scorer: Scorer,
    options: EvidenceOptions,
    seed: int = 0,
    compiled: keras.Model | None = None,
) -> Iterator[Question]:
    """Yield what a scorer with needs is asked of chosen weights, as in `scores_of_weights`."""
    pairs: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def wrap(layer: keras.layers.Layer, copy: keras.layers.Layer) -> keras.layers.Layer:
        pairs.append((layer, copy))
        here = [weight in chosen for weight in prunable_weights(layer)]
        if not any(here):
            return copy
        return PrunedLayer(copy, [OneShot(0.5) if own else None for own in here], scorer=scorer)

    masked = rebuild(model, wrap)
    originals = ByIdentity(
        (new, old)
        for layer, copy in pairs
        for old, new in zip(prunable_weights(layer), prunable_weights(copy))
    )
    cohorts = cohorts_of(pruned_layers(masked))
    source = EvidenceSource(masked, cohorts, options, compiled=compiled or model, seed=seed)
    for cohort in cohorts:
        values = {name: host_array(weight.value) for name, weight in cohort.weights.items()}
        named = {name: originals[weight] for name, weight in cohort.weights.items()}
        yield Question(values, source.evidence().only(list(values)), named)


def _scores_of_values(
    model: keras.Model, chosen: ByIdentity[keras.Variable, None], scorer: Scorer
) -> ByIdentity[keras.Variable, np.ndarray]:
    """Return what a scorer says that looks at nothing but values: no masked copy is needed."""
    taken: set[str] = set()
    names = {
        unique_name(weight.path, taken): weight
        for weight in prunable_weights(model)
        if weight in chosen
    }
    values = {name: host_array(weight.value) for name, weight in names.items()}
    scores = checked_arrays(scores_of(scorer, values, None), values, "Scores")
    return ByIdentity((names[name], np.asarray(value)) for name, value in scores.items())
