"""Any graph: zero some channels of a group for real, remove them, and nothing changes."""

import keras
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from tests.support.channel_models import unsettle
from tfprune import channels
from tfprune.channels.coupling.groups import find_groups
from tfprune.channels.coupling.reading import read

WIDTH = 6


def conv(x):
    return layers.Conv2D(WIDTH, 3, padding="same", activation="relu")(x)


def normalized(x):
    return layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(WIDTH, 1, use_bias=False)(x)))


def skip(x):
    return layers.Add()([x, layers.Conv2D(x.shape[-1], 3, padding="same")(x)])


def joined(x):
    return layers.Concatenate()([x, layers.Conv2D(WIDTH, 1, activation="tanh")(x)])


def depthwise(x):
    return layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)


def grouped(x):
    x = layers.Conv2D(WIDTH, 1)(x)
    return layers.Conv2D(WIDTH, 3, padding="same", groups=2)(x)


def one_by_one(x):
    return layers.Conv2D(2 * x.shape[-1], 3, padding="same", groups=x.shape[-1])(x)


def pooled(x):
    return layers.MaxPooling2D(2, strides=1, padding="same")(x)


def gated(x):
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return x * layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(gate)


def separable(x):
    return layers.SeparableConv2D(WIDTH, 3, padding="same")(x)


BLOCKS = [conv, normalized, skip, joined, depthwise, grouped, one_by_one, pooled, gated, separable]


def build(blocks, flat):
    inputs = keras.Input((5, 5, 2))
    x = conv(inputs)
    for block in blocks:
        x = block(x)
    x = layers.Flatten()(x) if flat else layers.GlobalMaxPooling2D()(x)
    return unsettle(keras.Model(inputs, layers.Dense(2)(x)))


def zero(reading, settled, roots):
    """Set to zero all that makes, shifts or scales these channels, but not what reads them."""
    for lies in reading.book.weights:
        gone = np.isin(settled.of(lies.labels), roots)
        if gone.any() and not lies.reads:
            shape = [-1 if axis == lies.axis else 1 for axis in range(len(lies.weight.shape))]
            lies.weight.assign(lies.weight.numpy() * ~gone.reshape(shape))


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(BLOCKS), max_size=4), st.booleans(), st.integers(0, 99))
def test_channels_that_are_zero_are_removed_and_outputs_stay(blocks, flat, seed):
    model = build(blocks, flat)
    reading = read(model)
    settled = reading.book.ledger.settle()
    groups = [group for group in find_groups(reading, settled) if group.removable.sum() > 1]
    draws = np.random.default_rng(seed)
    group = groups[draws.integers(len(groups))]
    open_channels = group.channels[group.removable]
    roots = draws.permutation(open_channels)[: max(1, open_channels.size // 2)]
    zero(reading, settled, roots)
    total = sum(int(found.each[found.removable].sum()) for found in groups)
    gone = int(group.each[np.isin(group.channels, roots)].sum())
    plan = channels.plan(model, gone / total, scorer="magnitude")
    assert set(plan.removed) == set(roots)
    small = channels.prune(model, plan)
    batch = draws.normal(size=(3, 5, 5, 2)).astype("float32")
    assert np.allclose(small(batch), model(batch), rtol=1e-5, atol=1e-6)
