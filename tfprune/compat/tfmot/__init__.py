"""The public pruning names of tensorflow-model-optimization 0.8.1, over Keras 3.

    import tensorflow_model_optimization as tfmot                  # before
    from tfprune.compat import tfmot                               # after

    from tensorflow_model_optimization.sparsity import keras       # before
    from tfprune.compat.tfmot.sparsity import keras                # after

Names, signatures and defaults are the same. What differs, because there it is wrong or absent:

- Masks are exact. There, all weights equal to the threshold are kept (a layer of equal weights is
  not pruned at all); here the lower flat index is kept.
- Updates happen at begin_step, begin_step + frequency, ..., and at end_step too. There, the last
  one is missed where `frequency` does not divide the span ((0, 250, 100) to 0.8 ends at 0.7936),
  and begin_step=0 never fires (the default `ConstantSparsity(0.5, 0)` first prunes at step 100).
- Both make update k within training step k: there before its forward pass, here right after its
  optimizer update, so that the model is sparse at the end of the batch. An update here at step k
  sees the weights that an update there at step k + 1 sees.
- A masked weight keeps its value and may come back; there it is set to zero.
- `block_size` works on weights of any rank and any shape (over the last two axes); there, rank 2
  only, and blocks are scored one off where they do not divide the axis.
- `sparsity_m_by_n` follows the steps of the schedule, ending at the complete pattern whatever its
  final sparsity (a schedule class of your own is capped at m/n); with the default schedule it is
  complete at step 0. There, the schedule is ignored and the pattern is never chosen again.
- The model passed in is not changed and shares nothing with the result. A layer that cannot be
  pruned stays as it is, where the other package refuses the whole model; so a layer with nothing
  to prune comes back unwrapped. Subclassed models work.
- A wrapped layer keeps its name ("dense", not "prune_low_magnitude_dense").
- Refused with one clear error: a misspelled keyword, an unbuilt model, a model that is pruned
  already, `UpdatePruningStep` or `strip_pruning` on a model with no pruned layer, PolynomialDecay
  with begin_step equal to end_step or initial above final sparsity, `block_size` together with
  `sparsity_m_by_n`.
- A `pruning_policy` also decides about single layers and lists of layers.
- Clustering finds the values by k-means from the same starts, to convergence; there, the starts are
  the values. Values live in the weights, so that there is no `cluster_centroids` variable.
"""

from tfprune.compat.tfmot import clustering, experimental, quantization, sparsity
from tfprune.compat.tfmot.sparsity.keras import (
    ConstantSparsity,
    PolynomialDecay,
    PrunableLayer,
    PruneForLatencyOnXNNPack,
    PruningPolicy,
    PruningSchedule,
    PruningSummaries,
    UpdatePruningStep,
    prune_low_magnitude,
    prune_scope,
    strip_pruning,
)

__version__ = "0.8.1"  # whose names these are

__all__ = [
    "ConstantSparsity",
    "PolynomialDecay",
    "PrunableLayer",
    "PruneForLatencyOnXNNPack",
    "PruningPolicy",
    "PruningSchedule",
    "PruningSummaries",
    "UpdatePruningStep",
    "clustering",
    "experimental",
    "prune_low_magnitude",
    "prune_scope",
    "quantization",
    "sparsity",
    "strip_pruning",
]
