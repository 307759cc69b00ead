"""Optimizer state of masked weights: put to zero when a weight is masked, so that it stays put.

A masked weight gets no gradient, but what the optimizer remembers of earlier ones (momentum, the
moments of Adam, Lion's average) would go on moving it. Sums that move nothing by themselves, such
as Adagrad's, and averages of the weights stay. Accuracy is the same with and without (see "What
optimizers remember of masked weights" in scripts/results). Decoupled weight decay is no state: it
shrinks masked weights as it does all others, so that what stays useless long is unlikely to come
back.
"""

from collections import Counter
from collections.abc import Mapping

import keras
import numpy as np

from tfprune.keras_graph.private_keras import trained_variables
from tfprune.support.by_identity import ByIdentity
from tfprune.wrapping.mask_update import Variables

# Of Adagrad, Ftrl (whose state is the weight), Adadelta, and of `use_ema`.
_STAYING = ("accumulator", "linear", "accumulated_grad", "accumulated_delta_var", "average")


def moving_slots(
    optimizer: keras.optimizers.Optimizer | None, weights: Mapping[str, keras.Variable]
) -> dict[str, list[keras.Variable]]:
    """Return the state variables that move a weight without a gradient, by its name.

    Keras names the state of a variable after its path. Where several variables share one, as they
    may in nested models, state of the same name is in the order in which they are trained.

    Args:
        optimizer: a Keras optimizer, a `LossScaleOptimizer` too; anything else has no state.
        weights: name -> variable that it trains.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="a")], name="m")
        >>> adam = keras.optimizers.Adam()
        >>> adam.build(model.trainable_variables)
        >>> [slot.name for slot in moving_slots(adam, {"k": model.layers[0].kernel})["k"]]
        ['m_a_kernel_momentum', 'm_a_kernel_velocity']
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return {name: [] for name in weights}
    name_of = ByIdentity((weight, name) for name, weight in weights.items())
    owners: dict[str, list[keras.Variable]] = {}
    for variable in trained_variables(optimizer):
        owners.setdefault(variable.path.replace("/", "_") + "_", []).append(variable)
    found: dict[str, list[keras.Variable]] = {name: [] for name in weights}
    seen: Counter[str] = Counter()
    for slot in optimizer.variables:
        prefixes = [prefix for prefix in owners if slot.name.startswith(prefix)]
        prefix = max(prefixes, key=len, default="")
        number = seen[slot.name]
        seen[slot.name] += 1
        if not prefix or number >= len(owners[prefix]):
            continue  # of the optimizer as a whole, such as its step
        owner, kind = owners[prefix][number], slot.name[len(prefix) :]
        if owner in name_of and slot.shape == owner.shape and not kind.startswith(_STAYING):
            found[name_of[owner]].append(slot)
    return found


def reset_where_masked(
    optimizer: keras.optimizers.Optimizer | None,
    weights: Mapping[str, keras.Variable],
    masks: Mapping[str, np.ndarray],
    variables: Variables,
) -> None:
    """Put the state of masked entries to zero.

    Args:
        optimizer: as for `moving_slots`.
        weights: name -> variable that it trains, all that are pruned.
        masks: name -> boolean array, True = kept.
        variables: where values live.
    """
    slots = moving_slots(optimizer, weights)
    for name, mask in masks.items():
        for slot in slots[name]:
            value = variables.read(slot)
            kept = keras.ops.cast(keras.ops.convert_to_tensor(mask), value.dtype)
            variables.write(slot, value * kept)
