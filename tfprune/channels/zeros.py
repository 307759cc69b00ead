"""Plans that remove what is zero already: the channels that masks have taken out."""

import keras
import numpy as np

from tfprune.channels.channel_plan import ChannelPlan, GroupPlan, made_plan
from tfprune.channels.coupling.groups import find_groups
from tfprune.channels.coupling.reading import read
from tfprune.channels.fixed_channels import zero_channels
from tfprune.channels.kept import Costs
from tfprune.support.validation import require_model


def plan_zeros(model: keras.Model) -> ChannelPlan:
    """Return the plan that removes every channel whose kernels are zero in all layers that make it.

    At least one channel of every group is kept, and of every layer in it.

    Args:
        model: built, plain Sequential or Functional model; it is not changed.

    Raises:
        ValueError: if the model has no graph, or no such channel.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input((3,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(1)])
        >>> kernel = model.get_layer("a").kernel
        >>> _ = kernel.assign(kernel * [1.0, 0.0, 0.0, 1.0])
        >>> plan_zeros(model).groups[0].kept
        2
    """
    require_model("model", model)
    reading = read(model)
    settled = reading.book.ledger.settle()
    zero = zero_channels(reading, settled)
    parts = []
    for group in find_groups(reading, settled):
        scores = np.where(zero[group.channels], 0.0, 1.0)
        removed = zero[group.channels] & group.may_go(scores, 1)
        if removed.all():
            removed[0] = False
        parts.append(GroupPlan(group, scores, removed))
    if not any(part.removed.any() for part in parts):
        raise ValueError(
            f"Model '{model.name}' must have channels to remove: such as are zero in all layers "
            "that make them, and that nothing keeps. Received: none; prune it with "
            "structure=tfprune.Channel()."
        )
    return made_plan(reading, settled, parts, Costs(reading, settled), "zeros")
