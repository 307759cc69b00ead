"""Rules of a plan: where less goes than they ask, and where they disagree."""

import keras
import pytest
from keras import layers

from tfprune import channels


def half_read_by_softmax():
    inputs = keras.Input((6,))
    sizes = {"a": 8, "b": 8, "c": 16}
    a, b, c = (layers.Dense(size, name=name)(inputs) for name, size in sizes.items())
    x = layers.Dense(64, name="behind")(layers.Concatenate()([a, b]) + c)
    return keras.Model(inputs, [layers.Dense(3)(x), layers.Softmax(name="softmax")(a)])


def chain():
    sizes = [layers.Dense(16, name="a"), layers.Dense(64, name="b"), layers.Dense(3)]
    return keras.Sequential([keras.Input((6,)), *sizes])


@pytest.mark.parametrize(
    "build, rule, options, kept, why",
    [
        (half_read_by_softmax, ("c/.*", 0.9), {}, 9, "90% of 'c', which loses 44%: 'softmax'"),
        (chain, ("a/.*", 0.25), {"round_to": 8}, 16, "loses 0%: round_to=8, min_kept=1"),
        (chain, ("a/.*", 0.9), {"min_kept": 8}, 8, "loses 50%: round_to=1, min_kept=8"),
    ],
)
def test_a_share_that_cannot_go_is_said(build, rule, options, kept, why):
    with pytest.warns(UserWarning, match=f"Less sparse than asked: a rule asks .*{why}"):
        plan = channels.plan(build(), 0.3, rules=[rule], **options)
    assert [part.kept for part in plan.groups if part.group.name == rule[0][0]] == [kept]
    assert "less than asked: a rule asks" in str(plan)


def test_a_share_is_rounded_without_a_word(recwarn):
    plan = channels.plan(chain(), 0.3, rules=[("a/.*", 0.4)], round_to=8)
    assert plan.groups[0].kept == 8 and not plan.short
    assert not any("Less sparse" in str(found.message) for found in recwarn)


def test_rules_that_keep_and_prune_what_goes_together_are_refused():
    inputs = keras.Input((6,))
    both = layers.Dense(8, name="a")(inputs) + layers.Dense(8, name="b")(inputs)
    model = keras.Model(inputs, layers.Dense(3)(layers.Dense(8)(both)))
    with pytest.raises(ValueError, match="both kept and pruned.*'a/.*', None.*'b/.*', 0.5"):
        channels.plan(model, 0.3, rules=[("b/.*", 0.5), ("a/.*", None)])
    plan = channels.plan(model, 0.3, rules=[("a/.*", None), ("b/.*", 0.5)])
    assert [part.kept for part in plan.groups if "a" in part.group.layers] == [8]
