"""From what was chosen for each weight to the model that trains."""

from collections.abc import Iterator, Mapping

import keras
import numpy as np

from tfprune.calibration.batch_norm import refresh_batch_norm
from tfprune.compression.budget_search.losses import How, as_data, exactly
from tfprune.compression.budget_search.options import Option
from tfprune.compression.budget_search.stored_sizes import FileKind
from tfprune.compression.clustering.clustering import How as Sharing
from tfprune.compression.clustering.clustering import cluster, with_shared_values
from tfprune.compression.finished_models import mask_of_zeros
from tfprune.compression.low_rank.factorizing import factorize
from tfprune.compression.output_channels import channel_axes
from tfprune.keras_graph.rebuilding import outer_layers, rebuild
from tfprune.layer_classes.prunable import owned_weights, prunable_weights
from tfprune.pruning.one_shot_pruning import one_shot
from tfprune.pruning.strip import strip_pruning
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.wrapping.pruned_layer import pruned_layers


def build(base: keras.Model, chosen: Mapping[str, Option], how: How) -> keras.Model:
    """Return a copy of a model in which each weight became what was chosen for it.

    Factors come first, then zeros, then few values, since each method keeps what those before it
    made; batch normalization is estimated again before values are shared. Zeros that the model has
    already stay zeros in training, too, but for those of weights that become factors.

    Args:
        base: plain.
        chosen: path of a weight -> what it becomes; others stay.
        how: weights are pruned.
    """
    data = as_data(how.taken)
    ranks = [(exactly(path), own.rank) for path, own in chosen.items() if own.rank]
    zeros = [(exactly(path), own.sparsity) for path, own in chosen.items() if own.sparsity]
    levels = [(exactly(path), own.levels) for path, own in chosen.items() if own.levels]
    others = (".*", None)
    model = base if ranks or zeros or levels else plain_of(base)
    if ranks:
        rules = [*ranks, others]
        model, _ = factorize(
            model, rank=1, data=data[:1], rules=rules, examples=None, verbose=False
        )
    if zeros:
        model, _ = one_shot(
            model,
            max(sparsity for _, sparsity in zeros),
            how.scorer,
            data,
            how.loss,
            refresh_batch_norm=False,
            structure=how.structures,
            distribution="uniform",
            rules=[*zeros, others],
            examples=None,
            verbose=False,
        )
    if ranks or zeros:
        refresh_batch_norm(model, how.taken)
    if levels:
        return cluster(model, rules=[*levels, others])
    done = {path for path, own in chosen.items() if own.sparsity or own.rank}
    given = [w for w in prunable_weights(base) if w.path not in done]
    if any(mask_of_zeros(host_array(weight.value)) is not None for weight in given):
        plain = plain_of(model)
        left: ByIdentity[keras.Variable, int | None] = ByIdentity()
        left.update((weight, None) for weight in prunable_weights(plain))
        return with_shared_values(plain, left, (), Sharing("exact", preserve_zeros=True))
    return model


def plain_of(model: keras.Model) -> keras.Model:
    """Return a plain copy of a model, pruned or not."""
    if pruned_layers(model):
        return strip_pruning(model, compile=False)
    return rebuild(model, lambda layer, copy: copy)


def as_in_file(model: keras.Model, kind: FileKind) -> keras.Model:
    """Return a plain copy of a model with its weights rounded as a file of a kind holds them."""
    plain = plain_of(model)
    for weight, value in values_in_file(plain, kind):
        weight.assign(value)
    return plain


def values_in_file(
    model: keras.Model, kind: FileKind
) -> Iterator[tuple[keras.Variable, np.ndarray]]:
    """Yield the weights of a plain model, each with its value as a file of a kind holds it."""
    for layer in outer_layers(model):
        for part, weight in owned_weights(layer):
            yield weight, kind.rounded(host_array(weight.value), channel_axes(part, weight))
