"""What masks do during training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfprune
from tests.support.helpers import SparsityAtBatchEnd, fit, sparsity
from tfprune.sparsity.masks import make_mask

STEPS = 8  # batches of 8 in 64 examples


def schedule(**options):
    return tfprune.PolynomialDecay(
        **{**dict(initial_sparsity=0.0, final_sparsity=0.8, begin_step=2, end_step=13), **options}
    )


def expected_sparsity(plan, step, size=120):
    """Sparsity after the last update at or before `step`, as an exact count of `size`."""
    last, following = None, plan.next_update(-1)
    while following is not None and following <= step:
        last, following = following, plan.next_update(following)
    return 0.0 if last is None else 1 - max(1, round((1 - plan(last)) * size)) / size


@pytest.mark.parametrize("first", [True, False], ids=["listed first", "listed last"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_sparsity_is_exact_at_every_batch_end_whatever_the_callback_order(
    mlp, data, first, optimizer
):
    plan = schedule(frequency=4)
    seen = SparsityAtBatchEnd("hidden")
    callbacks = [seen, tfprune.UpdatePruningStep()]
    fit(
        tfprune.prune(mlp, plan),
        data,
        epochs=2,
        optimizer=optimizer,
        callbacks=callbacks if first else callbacks[::-1],
    )
    assert [step for step, _ in seen.seen] == list(range(1, 2 * STEPS + 1))
    for step, achieved in seen.seen:
        assert achieved == pytest.approx(expected_sparsity(plan, step), abs=1e-12), step
    assert seen.seen[-1][1] == pytest.approx(0.8)


def test_a_checkpoint_listed_first_saves_the_asked_sparsity(mlp, data, tmp_path):
    plan = schedule(frequency=4)
    save = keras.callbacks.ModelCheckpoint(tmp_path / "at{batch}.keras", save_freq=1, verbose=0)
    fit(tfprune.prune(mlp, plan), data, callbacks=[save, tfprune.UpdatePruningStep()])
    for batch in range(1, STEPS + 1):
        loaded = keras.saving.load_model(tmp_path / f"at{batch}.keras")
        wanted = expected_sparsity(plan, batch)
        assert sparsity(loaded, "hidden") == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1),
        lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1),
        lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3),
    ],
    ids=["momentum and decay", "adamw", "ema"],
)
def test_momentum_and_weight_decay_never_make_the_stripped_model_less_sparse(mlp, data, optimizer):
    seen = SparsityAtBatchEnd("hidden")
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.9, step=3))
    fit(
        pruned,
        data,
        epochs=3,
        optimizer=optimizer(),
        callbacks=[tfprune.UpdatePruningStep(), seen],
    )
    assert {round(value, 9) for step, value in seen.seen if step >= 3} == {0.9}


def test_forward_pass_uses_mask_times_weight(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.5))
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD()).begin()
    hidden, out = (layer.pruned[0] for layer in pruned.layers)
    x = data[0]
    masked = [own.weight.numpy() * own.mask.numpy() for own in (hidden, out)]
    expected = np.maximum(x @ masked[0], 0) @ masked[1]  # biases start at zero
    assert np.allclose(pruned.predict(x, verbose=0), expected, atol=1e-5)
    assert np.array_equal(hidden.weight.numpy(), mlp.layers[0].kernel.numpy())


def test_a_masked_weight_keeps_its_value_and_gets_no_gradient(data):
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(3, kernel_regularizer="l2", name="out")]
    )
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    before = pruned.layers[0].layer.kernel.numpy()
    fit(pruned, data, optimizer=keras.optimizers.SGD(0.1))
    after, mask = pruned.layers[0].layer.kernel.numpy(), pruned.layers[0].pruned[0].mask.numpy()
    assert np.array_equal(before[~mask], after[~mask]) and (before[~mask] != 0).all()
    assert (before[mask] != after[mask]).all()


def test_a_masked_weight_can_revive(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.ConstantSparsity(0.5, frequency=1))
    fit(pruned, data)
    own = pruned.layers[0].pruned[0]
    first = own.mask.numpy()
    weight = own.weight.numpy()
    weight[~first] *= 100  # they kept their values; now they are the largest
    own.weight.assign(weight)
    fit(pruned, data, optimizer=None)
    assert (own.mask.numpy() & ~first).any()


def test_masks_follow_the_weights_as_they_are_after_the_step(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.ConstantSparsity(0.7, begin_step=STEPS, frequency=100))
    fit(pruned, data)
    own = pruned.layers[0].pruned[0]
    assert np.array_equal(own.mask.numpy(), make_mask(np.abs(own.weight.numpy()), 0.7))


def test_all_kept_masks_leave_training_bit_identical(data):
    inputs = keras.Input((6,))
    x = keras.layers.Reshape((3, 2))(inputs)
    x = keras.layers.LSTM(5, dropout=0.3)(x)
    x = keras.layers.BatchNormalization()(keras.layers.Dropout(0.2)(x))
    model = keras.Model(inputs, keras.layers.Dense(3, kernel_regularizer="l2")(x))
    pruned = tfprune.prune(model, tfprune.ConstantSparsity(0.0))
    fit(model, data, optimizer="adam", callbacks=[])
    fit(pruned, data, optimizer="adam")
    stripped = tfprune.strip_pruning(pruned)
    for ours, plain in zip(stripped.weights, model.weights, strict=True):
        assert np.array_equal(ours.numpy(), plain.numpy()), ours.path


def test_losses_that_layers_add_count_once(data):
    layers = [
        keras.layers.Dense(5, activity_regularizer="l2", kernel_regularizer="l1"),
        keras.layers.Dense(3, activity_regularizer="l1"),
    ]
    model = keras.Sequential([keras.Input((6,)), *layers])
    pruned = tfprune.prune(model, tfprune.ConstantSparsity(0.0))
    x = data[0]

    def stateless(model):
        variables = model.trainable_variables, model.non_trainable_variables
        return model.stateless_call(*variables, x, return_losses=True)[2]

    for losses in (lambda model: (model(x), model.losses)[1], stateless):
        ours, plain = (sorted(float(loss) for loss in losses(m)) for m in (pruned, model))
        assert ours == plain and len(plain) == 3


def test_steps_per_execution_fires_an_update_between_two_callbacks_once(mlp, data):
    plan = schedule(frequency=4)  # updates at 2, 6, 10, 13
    seen = SparsityAtBatchEnd("hidden")
    callbacks = [seen, tfprune.UpdatePruningStep()]
    fit(tfprune.prune(mlp, plan), data, epochs=2, steps_per_execution=4, callbacks=callbacks)
    assert [step for step, _ in seen.seen] == [4, 8, 12, 16]
    for step, achieved in seen.seen:
        assert achieved == pytest.approx(expected_sparsity(plan, step), abs=1e-12)


def test_gradient_accumulation_counts_once(mlp, data):
    plan = schedule(begin_step=1, end_step=4, frequency=1)
    pruned = tfprune.prune(mlp, plan)
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=4)
    fit(pruned, data, optimizer=optimizer)  # 8 batches, 2 optimizer updates
    assert sparsity(pruned, "hidden") == pytest.approx(expected_sparsity(plan, 2))
    assert int(pruned.layers[0].pruning_step.numpy()) == 2


def test_a_model_that_fit_builds_is_pruned_on_schedule(data):
    plan = schedule(begin_step=0, end_step=6, frequency=3)
    seen = SparsityAtBatchEnd("hidden")
    model = keras.Sequential(
        [tfprune.PrunedLayer(keras.layers.Dense(20, name="hidden"), plan), keras.layers.Dense(3)]
    )
    fit(model, data, callbacks=[seen, tfprune.UpdatePruningStep()])
    for step, achieved in seen.seen:
        assert achieved == pytest.approx(expected_sparsity(plan, step), abs=1e-12)


def test_a_shared_layer_counts_a_step_once(data):
    inputs = keras.Input((6,))
    shared = keras.layers.Dense(6, name="shared")
    model = keras.Model(inputs, keras.layers.Dense(3)(shared(shared(inputs))))
    pruned = tfprune.prune(model, schedule(frequency=4))
    fit(pruned, data)
    assert int(pruned.get_layer("shared").pruning_step.numpy()) == STEPS


@pytest.mark.parametrize("options", [{"jit_compile": True}, {"run_eagerly": True}], ids=str)
def test_compiled_and_eager_training_reach_the_asked_sparsity(mlp, data, options):
    seen = SparsityAtBatchEnd("hidden")
    plan = schedule(frequency=4)
    callbacks = [seen, tfprune.UpdatePruningStep()]
    fit(tfprune.prune(mlp, plan), data, callbacks=callbacks, **options)
    for step, achieved in seen.seen:
        assert achieved == pytest.approx(expected_sparsity(plan, step), abs=1e-12)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_mixed_and_half_precision_train_to_the_asked_sparsity(policy, data):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(20, activation="relu", dtype=policy, name="hidden"),
            keras.layers.Dense(3, dtype=policy, name="out"),
        ]
    )
    pruned = tfprune.prune(model, schedule(frequency=4))
    fit(pruned, data, epochs=2)
    assert sparsity(pruned, "hidden") == pytest.approx(0.8)
    stripped = tfprune.strip_pruning(pruned)
    assert stripped.layers[0].kernel.dtype == model.layers[0].kernel.dtype
    x = data[0]
    assert np.array_equal(pruned.predict(x, verbose=0), stripped.predict(x, verbose=0))


def test_loss_scaling_counts_only_steps_that_were_made(mlp, data):
    pruned = tfprune.prune(mlp, schedule(frequency=4))
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    fit(pruned, data, epochs=2, optimizer=optimizer)
    assert sparsity(pruned, "hidden") == pytest.approx(0.8)


def test_a_frozen_layer_keeps_its_mask(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.ConstantSparsity(0.5, frequency=1))
    fit(pruned, data)
    before = pruned.layers[0].pruned[0].mask.numpy()
    pruned.layers[0].trainable = False
    pruned.layers[0].layer.kernel.assign(pruned.layers[0].layer.kernel.numpy()[::-1])
    fit(pruned, data)
    assert np.array_equal(before, pruned.layers[0].pruned[0].mask.numpy())
    assert sparsity(pruned, "hidden") == 0.5


def test_predict_and_evaluate_write_nothing(mlp, data):
    pruned = fit(tfprune.prune(mlp, tfprune.OneShot(0.5)), data)
    before = [variable.numpy() for variable in pruned.variables]
    pruned.predict(data[0], verbose=0)
    pruned.evaluate(*data, verbose=0)
    pruned(data[0], training=True)
    for old, variable in zip(before, pruned.variables):
        assert np.array_equal(old, variable.numpy()) or "metric" in variable.path


def test_fine_tuning_after_strip_with_keep_masks_keeps_the_zeros(mlp, data):
    pruned = fit(tfprune.prune(mlp, tfprune.OneShot(0.7)), data)
    plain = tfprune.strip_pruning(pruned, keep_masks=True)
    before = plain.layers[0].kernel.numpy()
    fit(plain, data, optimizer=keras.optimizers.SGD(0.1, momentum=0.9), callbacks=[])
    after = plain.layers[0].kernel.numpy()
    assert np.array_equal(before == 0, after == 0)
    assert (before != after)[before != 0].any()
    assert not tfprune.wrapping.pruned_layer.pruned_layers(plain)


def test_a_custom_loop_needs_two_lines(mlp, data):
    plan = schedule(frequency=4)
    pruned = tfprune.prune(mlp, plan)
    optimizer = keras.optimizers.SGD(0.1)
    updater = tfprune.PruningUpdater(pruned, optimizer)
    for _ in range(2):
        for start in range(0, 64, 8):
            with tf.GradientTape() as tape:
                outputs = pruned(data[0][start : start + 8], training=True)
                loss = keras.ops.mean((outputs - data[1][start : start + 8]) ** 2)
            variables = pruned.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)
            updater.update()
            wanted = expected_sparsity(plan, updater.step)
            assert sparsity(pruned, "hidden") == pytest.approx(wanted, abs=1e-12)
    assert updater.step == 16


def test_two_replicas_hold_the_masks_of_one(data, two_replicas):
    def train():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(20, name="hidden")])
        pruned = tfprune.prune(model, tfprune.ConstantSparsity(0.5, frequency=2))
        pruned.compile("sgd", "mse")
        dataset = tf.data.Dataset.from_tensor_slices(data[0]).map(lambda x: (x, x[:1])).batch(8)
        pruned.fit(dataset, shuffle=False, verbose=0, callbacks=[tfprune.UpdatePruningStep()])
        return pruned

    with two_replicas.scope():
        two = train()
    mask = two.layers[0].pruned[0].mask
    copies = [np.array(value) for value in two_replicas.experimental_local_results(mask.value)]
    assert len(copies) == 2 and np.array_equal(*copies)
    assert sparsity(two, "hidden") == 0.5
    one = train()
    assert np.array_equal(one.layers[0].pruned[0].mask.numpy(), mask.numpy())
