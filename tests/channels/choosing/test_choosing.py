"""What a plan decides by: rounded widths, and what a scorer of channels returns."""

import keras
import numpy as np
import pytest
from keras import layers

from tfprune import channels


def recurrent():
    inputs = keras.Input((5, 6))
    x = layers.GRU(24, return_sequences=True, name="gru")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.LSTM(32, name="lstm")(x)))


def beside_a_reshape():
    """Each of 32 channels is four units of one layer and a filter of another."""
    inputs = keras.Input((4, 8))
    units = layers.Dense(128, name="units")(layers.Flatten()(inputs))
    x = layers.Reshape((4, 32))(units) + layers.Conv1D(32, 1, name="filters")(inputs)
    x = layers.Conv1D(5, 1, name="reader")(x)
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(x)))


def joined():
    inputs = keras.Input((6,))
    a, b, c = (layers.Dense(size, name=name) for name, size in (("a", 16), ("b", 16), ("c", 32)))
    x = layers.Concatenate()([a(inputs), b(inputs)]) + c(inputs)
    x = layers.Dense(16, name="behind")(x)
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def test_units_are_rounded_and_not_their_gates_side_by_side():
    plan = channels.plan(recurrent(), 0.43, round_to=8)
    sizes = {part.group.name: (part.size, part.kept) for part in plan.groups}
    assert sizes["gru"][0] == 24 and sizes["lstm"][0] == 32
    assert all(kept % 8 == 0 for name, (_, kept) in sizes.items() if name != "head")
    small = channels.prune(recurrent(), plan)
    assert [small.get_layer(name).units for name in ("gru", "lstm")] == [
        sizes[name][1] for name in ("gru", "lstm")
    ]


def test_widths_of_every_layer_of_a_group_are_rounded():
    model = beside_a_reshape()
    plan = channels.plan(model, 0.5, round_to=8, rules=[("reader/.*", None)])
    small = channels.prune(model, plan)
    assert (small.get_layer("units").units, small.get_layer("filters").filters) == (64, 16)
    assert channels.verify(model, plan, small) < 1e-5


def test_layers_that_make_parts_of_a_group_stay_where_widths_are_rounded():
    plan = channels.plan(joined(), 0.5, round_to=8)
    kept = {part.group.name: (part.kept, part.size) for part in plan.groups}
    assert kept["behind"] == (8, 16) and kept["c"] == (32, 32)
    assert "several layers make parts of it" in str(plan)
    with pytest.raises(ValueError, match="at least one channel.*several layers make parts of it"):
        channels.plan(joined(), 0.5, round_to=8, rules=[("behind/.*", None)])


class Scored:
    """A scorer of channels that returns what it is told to."""

    def __init__(self, scores):
        self.scores = scores

    def of_channels(self, reading, settled):
        return self.scores(settled.roots) if callable(self.scores) else self.scores


@pytest.mark.parametrize("scores", [np.ones(3), [1, 2], None, lambda roots: np.ones((8, 2))])
def test_scores_that_are_not_one_a_channel_are_one_clear_error(scores):
    with pytest.raises(ValueError, match="`of_channels` of a scorer must return .* from Scored"):
        channels.plan(recurrent(), 0.5, scorer=Scored(scores))


def test_scores_may_be_a_list():
    scorer = Scored(lambda roots: list(range(roots.size)))
    plan = channels.plan(recurrent(), 0.5, scorer=scorer, normalize=False)
    assert plan.groups[0].kept == 1 and plan.groups[1].kept > 24


def test_an_array_for_a_name_is_one_clear_error():
    with pytest.raises(ValueError, match="`scope` must be one of 'global', 'layer'. Received"):
        channels.plan(recurrent(), 0.5, scope=np.array(["global", "layer"]))


def test_a_class_in_place_of_a_scorer_is_one_clear_error():
    with pytest.raises(TypeError, match="must be a name or an instance.*BatchNormScale"):
        channels.plan(joined(), 0.5, scorer=channels.BatchNormScale)
