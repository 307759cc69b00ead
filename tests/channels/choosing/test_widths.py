"""Widths that budgets choose, and what a plan says of them."""

import keras
import numpy as np
import pytest
from keras import layers

from tfprune import channels


def grouped():
    inputs = keras.Input((8, 8, 16))
    x = layers.Conv2D(64, 1, name="before")(inputs)
    x = layers.Conv2D(64, 3, groups=16, padding="same", name="grouped")(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(48, 1, name="behind")(x))
    return keras.Model(inputs, layers.Dense(10)(x))


def joined(repeated):
    """16 channels of `b` are those of `a` and `c`, or of `a` twice and `c`."""
    inputs = keras.Input((6,))
    a, c = layers.Dense(4, name="a")(inputs), layers.Dense(4 if repeated else 8, name="c")(inputs)
    beside = layers.Concatenate()([a, a, c] if repeated else [a, c])
    x = beside + layers.ReLU()(layers.Dense(12, name="b")(inputs))
    return keras.Model(inputs, layers.Dense(2)(x))


def test_a_fraction_of_channels_counts_filters_that_go_together_one_by_one():
    model = grouped()
    kernel = model.get_layer("behind").kernel
    kernel.assign(kernel * np.geomspace(1e-3, 10, 48))
    plan = channels.plan(model, 0.4)
    small = channels.prune(model, plan)
    names = ("before", "grouped", "behind")
    before, after = (
        [each.get_layer(name).filters for name in names] for each in (model, small)
    )
    assert [(part.size, part.kept) for part in plan.groups[:3]] == list(zip(before, after))
    assert 1 - sum(after) / sum(before) == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("repeated", [False, True])
def test_a_group_of_unequal_layers_is_named_and_counted_by_its_widest(repeated):
    model = joined(repeated)
    plan = channels.plan(model, 0.4)
    small = channels.prune(model, plan)
    part = plan.groups[0]
    assert part.group.name == "b" and f"b + {len(part.group.layers) - 1}" in str(plan)
    assert (part.size, part.kept) == (12, small.get_layer("b").units)


def test_a_budget_that_few_widths_meet_is_met():
    keras.utils.set_random_seed(22)
    dense = [layers.Dense(width) for width in (12, 12, 16, 8, 2)]
    model = keras.Sequential([keras.Input((3,)), *dense])
    plan = channels.plan(model, macs=0.658, round_to=4)
    assert plan.after.multiply_adds / plan.before.multiply_adds == pytest.approx(0.658, rel=0.03)
    assert all(part.kept % 4 == 0 for part in plan.groups[:-1])


def test_plans_are_compared_by_identity():
    model = grouped()
    first, second = channels.plan(model, 0.5), channels.plan(model, 0.5)
    assert first == first != second and len({first, second, first}) == 2
    assert first.groups[0] == first.groups[0] != second.groups[0]
