"""Structured pruning: remove channels, units and heads from a model for real.

model ──read──▶ labels ──settle──▶ groups ──scores, budget──▶ plan ──cut──▶ smaller model
"""

from tfprune.channels.channel_plan import ChannelPlan, GroupPlan
from tfprune.channels.choosing.latency import Latency
from tfprune.channels.choosing.scoring import BatchNormScale
from tfprune.channels.gradual.iterative_taylor import IterativeTaylor
from tfprune.channels.kept import Cost
from tfprune.channels.planning import plan
from tfprune.channels.shrinking import prune, verify

__all__ = [
    "BatchNormScale",
    "ChannelPlan",
    "Cost",
    "GroupPlan",
    "IterativeTaylor",
    "Latency",
    "plan",
    "prune",
    "verify",
]
