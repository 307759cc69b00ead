"""Iterative Taylor pruning: scores of gates from training itself, targets, and going on."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tfprune
from tests.support.gate_networks import LOSS, OTHERS, X, Y, fit, parts, residual
from tfprune import channels
from tfprune.channels import IterativeTaylor


def test_scores_are_the_squared_gradients_of_gates_added_up_over_a_group():
    keras.utils.set_random_seed(0)
    model = residual()
    taylor = IterativeTaylor(model, 0.5, frequency=8, per_update=1, rules=OTHERS)
    gates = tf.Variable(tf.ones(8))
    squares, last = [], []
    for at in range(0, 64, 8):
        with tf.GradientTape() as tape:
            # The model by hand, with a gate behind each of the normalizations of the group.
            x = model.get_layer("stem")(X[at : at + 8])
            x = tf.nn.relu(model.get_layer("norm")(x, training=True) * gates)
            y = model.get_layer("second")(model.get_layer("block")(x), training=True)
            x = tf.nn.relu(x + y * gates)
            made = model.get_layer("last")(x)
            logits = model.get_layer("head")(tf.reduce_mean(made, axis=(1, 2)))
            loss = LOSS(Y[at : at + 8], logits)
        gradient, behind = tape.gradient(loss, [gates, made])
        squares.append(gradient.numpy() ** 2)
        last.append(np.sum(behind * made, axis=(0, 1, 2)) ** 2)  # no normalization: at the layer
    fit(model, taylor, 1, keras.optimizers.SGD(0.0))
    found = parts(taylor.plan)
    assert np.allclose(found["stem"].scores, np.mean(squares, axis=0), rtol=1e-3, atol=1e-9)
    assert np.allclose(found["last"].scores, np.mean(last, axis=0), rtol=1e-3, atol=1e-9)


def test_a_normalization_further_on_has_a_second_gate():
    stem, norm = layers.Conv2D(6, 3), layers.BatchNormalization(gamma_initializer="random_normal")
    block, last = layers.Conv2D(6, 3, padding="same"), layers.BatchNormalization()
    head, pool = layers.Dense(4, name="head"), layers.GlobalAveragePooling2D()
    inputs = keras.Input((8, 8, 3))
    x = stem(inputs)
    x = x + block(layers.ReLU()(norm(x)))
    model = keras.Model(inputs, head(pool(layers.ReLU()(last(x)))))
    gate = tf.Variable(tf.ones(6))
    with tf.GradientTape() as tape:
        x = stem(X) * gate
        x = x + block(tf.nn.relu(norm(x, training=True) * gate)) * gate
        loss = LOSS(Y, head(pool(tf.nn.relu(last(x, training=True) * gate))))
    wanted = tape.gradient(loss, gate).numpy() ** 2
    taylor = IterativeTaylor(model, 0.5, frequency=1, per_update=1, rules=OTHERS)
    fit(model, taylor, 1, keras.optimizers.SGD(0.0), batch_size=64)
    assert np.allclose(taylor.plan.groups[0].scores, wanted, rtol=1e-3, atol=1e-9)


def test_channels_whose_size_is_divided_out_stay_with_the_reason():
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(scale=False, name="norm")(layers.Conv2D(6, 3)(inputs))
    model = keras.Model(inputs, layers.Dense(4)(layers.Dense(6)(layers.Flatten()(x))))
    taylor = IterativeTaylor(model, 0.5, frequency=1)
    why = "'norm' divides by its size, and has no scale that is trained"
    assert taylor.plan.groups[0].reasons == {why: 6}
    with pytest.raises(ValueError, match="at most 0.0% can go: 'norm' divides by its size, and"):
        IterativeTaylor(model, 0.5, rules=[("dense.*", None)])
    model.get_layer("norm").trainable = False  # zeros are shifted by what it knows of others
    (why,) = IterativeTaylor(model, 0.5).plan.groups[0].reasons
    assert why == "'norm' is not trained, and what it makes of zeros would stay"


def test_the_lowest_running_averages_go_at_every_update(monkeypatch):
    model = residual()
    taylor = IterativeTaylor(model, 0.5, frequency=4, per_update=2, momentum=0.75, rules=OTHERS)
    taken, watch = [], taylor._watch.take
    monkeypatch.setattr(taylor._watch, "take", lambda n: taken.append(watch(n)) or taken[-1])
    fit(model, taylor)  # 16 batches
    assert len(taken) == 4
    channels_of = np.concatenate([part.group.channels for part in taylor.plan.groups[:2]])
    average, gone = taken[0], np.zeros(taken[0].size, bool)
    for number, found in enumerate(taken):
        average = found if number == 0 else 0.75 * average + 0.25 * found
        left = channels_of[~gone[channels_of]]
        gone[left[np.argsort(average[left], kind="stable")[:2]]] = True
    assert set(taylor.plan.removed) == set(np.flatnonzero(gone))


@pytest.mark.parametrize("budget", ["sparsity", "macs", "parameters"])
def test_targets_are_met_and_the_smaller_model_computes_the_same(budget):
    model = residual(24)
    taylor = IterativeTaylor(model, **{budget: 0.5}, frequency=1, per_update=1)
    fit(model, taylor, 3, keras.optimizers.AdamW(1e-3, weight_decay=0.1))
    plan = taylor.plan
    if budget == "sparsity":
        assert plan.removed.size == 18
    else:
        name = {"macs": "multiply_adds"}.get(budget, budget)
        share = getattr(plan.after, name) / getattr(plan.before, name)
        assert share == pytest.approx(0.5, rel=0.03)
    small = channels.prune(model, plan)
    assert small.count_params() == plan.after.parameters < model.count_params()
    assert plan.exact and channels.verify(model, plan, small, X) < 1e-5
    assert np.allclose(small(X), model(X), rtol=1e-4, atol=1e-5)


def test_channels_that_have_gone_stay_zero_in_training():
    model = residual()
    taylor = IterativeTaylor(model, 0.4, frequency=1, per_update=2)
    fit(model, taylor)
    gone = taylor.plan.groups[0].removed
    assert gone.any()
    behind = keras.Model(model.input, model.get_layer("norm").output)
    assert np.all(behind(X, training=True).numpy()[..., gone] == 0)
    before = model.get_layer("norm").gamma.numpy()
    fit(model, taylor, 1)
    after = model.get_layer("norm").gamma.numpy()
    assert np.all(after[gone] == 0) and np.all(before[~gone] != after[~gone])
    assert np.all(model.get_layer("stem").kernel.numpy()[..., gone] == 0)


def test_widths_are_rounded_and_never_fall_below_the_least():
    model = residual()
    taylor = IterativeTaylor(
        model, parameters=0.44, frequency=1, per_update=1, round_to=4, min_kept=4
    )
    fit(model, taylor, 4)
    widths = [part.kept for part in taylor.plan.groups]
    assert all(width % 4 == 0 for width in widths) and sum(widths) < 24
    assert taylor.plan.after.parameters / taylor.plan.before.parameters == pytest.approx(0.44, 0.03)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    def begun(backup=None):
        keras.utils.set_random_seed(3)
        model = residual()
        options = {"frequency": 5, "per_update": 2, "rules": OTHERS, "backup": backup}
        return model, IterativeTaylor(model, 0.5, **options)

    whole, taylor = begun()
    fit(whole, taylor, 3)
    first, half = begun(tmp_path / "taylor.npz")
    fit(first, half, 1)  # 8 batches: 3 of them are in no update yet
    first.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    options = {"frequency": 5, "per_update": 2, "rules": OTHERS}
    rest = IterativeTaylor(loaded, 0.5, **options, backup=tmp_path / "taylor.npz")
    fit(loaded, rest, 3, initial_epoch=1)
    assert np.array_equal(rest.plan.removed, taylor.plan.removed) and rest.plan.removed.size
    for own, other in zip(whole.weights, loaded.weights):
        assert np.allclose(own.numpy(), other.numpy(), rtol=1e-5, atol=1e-7), own.path


def test_what_went_after_the_backup_and_is_zero_stays_gone(tmp_path):
    options = {"frequency": 1, "per_update": 1, "rules": OTHERS, "backup": tmp_path / "taylor.npz"}
    model = residual()
    fit(model, IterativeTaylor(model, 0.9, **options), 1, batch_size=32)
    later = IterativeTaylor(model, 0.9, **{**options, "backup": None})
    with pytest.warns(UserWarning, match="Counted as gone"):
        fit(model, later, 1, batch_size=32)
    resumed = IterativeTaylor(model, 0.9, **options)
    with pytest.warns(UserWarning, match="Counted as gone"):
        fit(model, resumed, 1, keras.optimizers.SGD(0.0), batch_size=64)
    assert set(later.plan.removed) < set(resumed.plan.removed)


def test_a_backup_of_other_weights_or_another_model_is_refused(tmp_path):
    path = tmp_path / "taylor.npz"
    options = {"frequency": 1, "backup": path}
    model = residual()
    fit(model, IterativeTaylor(model, 0.5, per_update=1, **options), 1)
    fresh = residual()
    with pytest.raises(ValueError, match="gone and are not zero in"):
        fit(fresh, IterativeTaylor(fresh, 0.5, **options))
    inputs = keras.Input((8, 8, 3))
    hidden = layers.Dense(5)(layers.Flatten()(inputs))
    other = keras.Model(inputs, layers.Dense(4)(hidden))
    with pytest.raises(ValueError, match="`backup` must be of this model, with"):
        fit(other, IterativeTaylor(other, 0.5, **options))
    for broken in (b"nothing of the kind", path.read_bytes()[:-40]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="`backup` must be a file that IterativeTaylor wrote"):
            fit(fresh, IterativeTaylor(fresh, 0.5, **options))


def test_a_backup_serves_other_targets_and_refuses_other_limits(tmp_path):
    options = {"frequency": 1, "per_update": 2, "backup": tmp_path / "taylor.npz"}
    model = residual()
    fit(model, IterativeTaylor(model, 0.25, **options))
    rounded = IterativeTaylor(model, 0.4, round_to=4, **options)
    with pytest.raises(ValueError, match="gone and are to stay in 'functional.* by the options"):
        fit(model, rounded)
    further = IterativeTaylor(model, 0.5, **options)
    fit(model, further)
    assert further.plan.removed.size == 10


def test_a_fit_that_ends_before_the_target_says_so_once_with_numbers():
    model = residual()
    taylor = IterativeTaylor(model, macs=0.5, frequency=8, per_update=1)
    with pytest.warns(UserWarning, match="Less sparse than asked") as told:
        fit(model, taylor, 1)
    (message,) = [str(w.message) for w in told if "Less sparse" in str(w.message)]
    assert "asked macs=0.5, " in message and "left after 1 update of 1 each" in message


def test_what_is_not_trained_stays_with_the_reason():
    model = residual()
    model.get_layer("last").trainable = False
    taylor = IterativeTaylor(model, 0.5, frequency=1, per_update=1)
    assert parts(taylor.plan)["last"].reasons == {"'last' is not trained": 12}
    model.get_layer("block").trainable = False  # later: nothing would hold it at zero
    model.compile("sgd", LOSS)
    with pytest.raises(ValueError, match="does not train 'block/kernel'"):
        fit(model, taylor)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Exactly one of `sparsity`, `macs` and `parameters`"),
        ({"sparsity": 0.5, "macs": 0.5}, "Received: sparsity=0.5, macs=0.5"),
        ({"sparsity": 1.0}, "sparsity=1.0"),
        ({"sparsity": 0.0}, "which leaves every channel"),
        ({"macs": 0}, "macs=0"),
        ({"macs": 1e-3}, r"of which at most \d+.\d% can go"),
        ({"sparsity": 0.5, "frequency": 0}, "frequency=0"),
        ({"sparsity": 0.5, "per_update": 0}, "per_update=0"),
        ({"sparsity": 0.5, "momentum": 1.0}, "momentum=1.0"),
        ({"sparsity": 0.5, "rules": [("stem/.*", 0.5)]}, "Received: ('stem/.*', 0.5)"),
        ({"sparsity": 0.5, "rules": [("nothing", None)]}, "must match at least one"),
        ({"sparsity": 0.5, "rules": [(".*", None)]}, "at most 0.0% can go"),
        ({"sparsity": 0.5, "backup": "no folder/file"}, "`backup` must be writable"),
    ],
    ids=str,
)
def test_bad_input_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")) as error:
        IterativeTaylor(residual(), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("widths", "options", "message"),
    [
        ([64], {"sparsity": 0.25, "round_to": 32}, "at most 50.0% can go; near it, 50.0%"),
        ([12], {"sparsity": 0.02}, "at least one channel go. Received: sparsity=0.02"),
        ([12], {"macs": 0.98}, "at least one channel go. Received: macs=0.98"),
    ],
)
def test_targets_that_whole_channels_miss_are_refused(widths, options, message):
    inner = [layers.Dense(width) for width in widths]
    model = keras.Sequential([keras.Input((8,)), *inner, layers.Dense(2)])
    with pytest.raises(ValueError, match=message):
        IterativeTaylor(model, **options)


def test_targets_that_some_scores_meet_are_taken_and_told_if_missed(monkeypatch):
    # Of the first layer one unit is a twentieth of the model, of the next a hundredth.
    inner = [layers.Dense(2), layers.Dense(64), layers.Dense(64)]
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Reshape((192,)), *inner])
    model.add(layers.Dense(4))
    taylor = IterativeTaylor(model, macs=0.985, frequency=1)
    first = taylor.plan.groups[0].group.channels
    scores = np.ones(taylor._stepwise.size)
    scores[first] = 0.0
    monkeypatch.setattr(taylor._watch, "take", lambda n: scores)
    with pytest.warns(UserWarning, match="Less sparse than asked: asked macs=0.985, 100.0% of"):
        fit(model, taylor, 1)


def test_models_that_cannot_be_cut_or_are_others_are_refused():
    model = residual()
    with pytest.raises(ValueError, match="strip it first"):
        IterativeTaylor(tfprune.prune(model, tfprune.OneShot(0.5)), 0.5)
    other = residual()
    other.compile("sgd", LOSS)
    with pytest.raises(ValueError, match="must be the one given to IterativeTaylor"):
        fit(other, IterativeTaylor(model, 0.5))
