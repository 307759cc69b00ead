"""Plans: what is coupled, what stays with which reason, and budgets."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune import channels, scorers
from tfprune.calibration import weight_scores
from tfprune.channels.choosing.selection import Candidates, Limits, refine


def residual():
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(16, 3, name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    y = layers.Conv2D(16, 3, padding="same", name="block")(x)
    x = layers.ReLU()(x + layers.BatchNormalization()(y))
    x = layers.BatchNormalization()(layers.Conv2D(24, 3, name="last")(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(10, name="head")(x))


def data():
    draws = np.random.default_rng(0)
    return draws.normal(size=(32, 12, 12, 3)).astype("float32"), draws.integers(0, 10, 32)


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def parts(plan):
    return {part.group.name: part for part in plan.groups}


def test_a_skip_connection_couples_its_layers_and_outputs_stay():
    found = parts(channels.plan(residual(), 0.5))
    assert list(found) == ["stem", "last", "head"]
    assert found["stem"].group.layers == ("stem", "block")
    assert found["head"].reasons == {"the model returns what 'head' makes": 10}
    assert found["head"].kept == 10


@pytest.mark.parametrize("min_kept", [1, 3])
def test_every_branch_keeps_channels_though_others_of_its_group_score_higher(min_kept):
    inputs = keras.Input((6,))
    branches = [layers.Dense(8, name=name)(inputs) for name in ("strong", "weak")]
    joined = layers.Concatenate()(branches) + layers.Dense(16, name="beside")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="head")(joined))
    model.get_layer("weak").kernel.assign(np.full((6, 8), 1e-3))
    model.get_layer("beside").kernel.assign(np.full((6, 16), 1e-3))
    plan = channels.plan(model, 0.7, min_kept=min_kept)
    small = channels.prune(model, plan)
    assert small.get_layer("weak").units == min_kept
    assert small.get_layer("strong").units < 8
    assert channels.verify(model, plan, small) < 1e-6


class AskedMagnitude:
    """Magnitude that asks for evidence, so that it sees a masked copy of the model."""

    needs = {"gradients"}

    def __call__(self, weights, evidence):
        return {name: abs(values) for name, values in weights.items()}


def test_a_scorer_of_values_alone_needs_no_copy_and_has_the_scores_of_one_that_sees_one(
    monkeypatch,
):
    model = residual()
    asked = channels.plan(model, 0.5, scorer=AskedMagnitude(), data=data(), loss=LOSS)
    monkeypatch.setattr(weight_scores, "rebuild", None)
    plain = channels.plan(model, 0.5, scorer="magnitude")
    for first, second in zip(asked.groups, plain.groups):
        np.testing.assert_array_equal(first.scores, second.scores)


@pytest.mark.parametrize("normalize", [True, False])
def test_what_a_scorer_never_lets_go_stays_and_the_others_are_compared_as_before(normalize):
    def keeping_one(weights, evidence):
        scores = {path: abs(values) for path, values in weights.items()}
        scores[next(path for path in scores if "last" in path)][..., 5] = np.inf
        return scores

    model, options = residual(), {"normalize": normalize}
    usual = parts(channels.plan(model, 0.5, **options))
    found = parts(channels.plan(model, 0.5, scorer=keeping_one, **options))
    assert not found["last"].removed[5]
    assert abs(found["last"].kept - usual["last"].kept) <= 1


@pytest.mark.parametrize("budget", ["sparsity", "macs", "parameters"])
@pytest.mark.parametrize("value", [0.3, 0.5, 0.7])
def test_budgets_are_met_within_three_percent(budget, value):
    model = residual()
    plan = channels.plan(model, **{budget: value})
    small = channels.prune(model, plan)
    if budget == "sparsity":
        assert plan.removed.size == round(value * 40)
    else:
        before, after = (
            getattr(cost, {"macs": "multiply_adds"}.get(budget, budget))
            for cost in (plan.before, plan.after)
        )
        assert after / before == pytest.approx(value, rel=0.03)
    assert small.count_params() == plan.after.parameters


def test_where_no_group_alone_comes_nearer_to_a_budget_two_do():
    groups = [Candidates(np.arange(8.0), np.ones(8, bool)) for _ in range(2)]

    def cost(widths):
        return 10 * widths[0] + 9 * widths[1]

    assert refine([5, 5], groups, Limits(), cost, 94, 0.5) == [4, 6]  # from 95
    assert refine([5, 5], groups, Limits(), cost, 85, 0.5) == [4, 5]


def test_multiply_adds_are_those_counted_by_hand():
    plan = channels.plan(residual(), 0.5)
    by_hand = 100 * 27 * 16 + 100 * 144 * 16 + 64 * 144 * 24 + 240
    assert plan.before == channels.Cost(residual().count_params(), by_hand)


@pytest.mark.parametrize(
    "scorer",
    [
        scorers.Taylor(on="gates"),
        scorers.Taylor(on="gates", order=2),
        "fisher",
        channels.BatchNormScale(),
    ],
    ids=["gates", "gates of second order", "fisher", "scale"],
)
def test_any_scorer_chooses_channels(scorer):
    model = residual()
    plan = channels.plan(model, macs=0.5, scorer=scorer, data=data(), loss=LOSS)
    assert channels.verify(model, plan, channels.prune(model, plan)) < 1e-5
    for part in plan.groups[:2]:
        kept, gone = part.scores[~part.removed], part.scores[part.removed]
        assert not gone.size or gone.max() <= kept.min()


def test_the_score_of_a_channel_is_the_sum_over_all_that_makes_it():
    model = residual()
    found = parts(channels.plan(model, 0.5))
    kernels = [np.abs(model.get_layer(name).kernel.numpy()) for name in ("stem", "block")]
    assert np.allclose(found["stem"].scores, sum(k.sum(axis=(0, 1, 2)) for k in kernels))


def test_gates_of_a_group_are_added_up_with_their_signs():
    model, (x, y) = residual(), data()
    pruned = tfprune.prune(model, tfprune.OneShot(0.5), rules=[("head/.*", None)])
    pruned.compile("sgd", LOSS)
    scorer = scorers.Taylor(on="gates")
    source, *_ = parts(channels.plan(model, 0.5, scorer=scorer, data=(x, y), loss=LOSS)).values()
    from tfprune.calibration.evidence import evidence_of

    gates = np.concatenate(
        [
            sum(batch[name] for name in ("stem/kernel", "block/kernel"))
            for batch in evidence_of(pruned, (x, y), LOSS).gates(32)
        ]
    )
    assert np.allclose(source.scores, np.square(gates).mean(axis=0), rtol=1e-3, atol=1e-9)


def test_kept_widths_are_rounded_and_never_fall_below_the_least():
    plan = channels.plan(residual(), 0.4, round_to=8, scope="layer")
    assert [part.kept for part in plan.groups] == [8, 16, 10]
    plan = channels.plan(residual(), 0.7, min_kept=6)
    assert min(part.kept for part in plan.groups) >= 6


def test_rules_keep_groups_or_say_what_they_lose():
    plan = channels.plan(residual(), 0.625, rules=[("block/.*", None), ("last/.*", 0.625)])
    found = parts(plan)
    assert (found["stem"].kept, found["last"].kept) == (16, 9)
    assert found["stem"].reasons == {"a rule keeps 'block/.*'": 16}


def test_layer_normalization_keeps_its_channels_unless_asked():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="a"),
            layers.LayerNormalization(name="norm"),
            layers.Dense(8, name="b"),
            layers.Dense(1, name="c"),
        ]
    )
    plan = channels.plan(model, 0.5)
    assert [part.kept for part in plan.groups] == [8, 4, 1] and plan.exact
    assert "'norm' normalizes over channels" in str(plan)
    asked = channels.plan(model, 0.5, scope="layer", inexact=True)
    assert [part.kept for part in asked.groups] == [4, 4, 1] and not asked.exact


def test_what_is_not_known_stays_with_the_reason():
    class Mine(layers.Layer):
        def call(self, inputs):
            return inputs[..., ::-1]

    inputs = keras.Input((4,))
    x = Mine(name="mine")(layers.Dense(6, name="a")(inputs))
    x = layers.Dense(8, name="b", activation=lambda value: value / 2)(x)
    model = keras.Model(inputs, layers.Dense(1)(layers.Dense(4, name="d")(x)))
    found = parts(channels.plan(model, 0.5))
    assert "'mine' reads it, and what Mine does with channels is not known" in found["a"].reasons
    assert "'b' ends in <lambda>, which may compute over its channels" in found["b"].reasons
    assert found["d"].kept == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Exactly one of"),
        ({"sparsity": 0.5, "macs": 0.5}, "Exactly one of"),
        ({"sparsity": 1.0}, "sparsity=1.0"),
        ({"sparsity": 50}, "sparsity=50"),
        ({"macs": 0.0}, "macs=0.0"),
        ({"macs": 0.0001}, "at most"),
        ({"sparsity": 0.0}, "at least one channel"),
        ({"sparsity": 0.5, "scope": "all"}, "scope='all'"),
        ({"sparsity": 0.5, "round_to": 0}, "round_to=0"),
        ({"sparsity": 0.5, "rules": [("nothing/.*", None)]}, "must match at least one"),
        ({"sparsity": 0.5, "scorer": "fisher"}, "`data` must be given"),
    ],
    ids=str,
)
def test_bad_input_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        channels.plan(residual(), **options)


@pytest.mark.parametrize(
    ("value", "options", "why"),
    [
        (0.005, {}, "of 40 that may go, less than one would"),
        (0.5, {"rules": [(".*", None)]}, "a rule keeps '.*'; the model returns what 'head' makes"),
    ],
    ids=str,
)
def test_a_request_that_changes_nothing_is_an_error_that_says_why(value, options, why):
    with pytest.raises(ValueError, match="must remove at least one channel") as error:
        channels.plan(residual(), value, **options)
    assert why in str(error.value)


def test_a_rule_that_asks_for_what_cannot_go_is_an_error():
    with pytest.raises(ValueError, match="'head/.*', 0.5.*the model returns what 'head' makes"):
        channels.plan(residual(), 0.5, rules=[("head/.*", 0.5)])
    plan = channels.plan(residual(), 0.5, rules=[(".*", 0.5)])  # where it can
    assert [part.kept for part in plan.groups] == [8, 12, 10]


def test_models_without_a_graph_and_pruned_models_are_refused():
    class Mine(keras.Model):
        def call(self, inputs):
            return inputs

    model = Mine()
    model(np.ones((1, 2)))
    with pytest.raises(ValueError, match="must be a built Sequential or Functional model"):
        channels.plan(model, 0.5)
    with pytest.raises(ValueError, match="strip it first"):
        channels.plan(tfprune.prune(residual(), tfprune.OneShot(0.5)), 0.5)


def test_the_page_shows_every_group_with_its_reasons_and_remarks(tmp_path):
    inputs = keras.Input((6, 4))
    x = layers.RNN(layers.LSTMCell(6), name="cells")(layers.Dense(8, name="a")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(6, name="b")(x)), name="a<b")
    plan = channels.plan(model, 0.5)
    plan.to_html(tmp_path / "plan.html")
    text = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert "Channels of a&lt;b" in text and f"{plan.after.parameters:,}" in text
    assert "8 stay: &#x27;cells&#x27; reads it, and what RNN does" in text
    assert "Kept as it is: &#x27;cells&#x27;, since what RNN does" in text
    residual_plan = channels.plan(residual(), 0.5)
    residual_plan.to_html(tmp_path / "plan.html")
    text = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert all(f"<td>{name}</td>" in text for name in ("stem, block", "last", "head"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"constant_values": 1.0}, "it pads the channels with what is not zero"),
        ({"mode": "reflect"}, "it pads the channels with what is not zero"),
    ],
)
def test_channels_beside_which_no_zeros_come_stay(options, why):
    inputs = keras.Input((6, 4))
    x = keras.ops.pad(layers.Dense(5, name="a")(inputs), [[0, 0], [0, 0], [1, 2]], **options)
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(6, name="b")(x)))
    plan = channels.plan(model, 0.5)
    assert why in str(plan) and [g.kept for g in plan.groups if g.group.name == "a"] == [5]
