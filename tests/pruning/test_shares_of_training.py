"""Schedules in shares of a training, and sparsities in place of schedules."""

import re

import keras
import numpy as np
import pytest

import tfprune


def refuses(error, received):
    return pytest.raises(error, match=re.escape("Received: ") + ".*" + re.escape(received))


SCHEDULES = [
    tfprune.PolynomialDecay(0.0, 0.75, begin=0.25, end=0.75),
    tfprune.ConstantSparsity(0.75, begin=0.25),
    tfprune.OneShot(0.75, begin=0.5),
    tfprune.schedules.FromFunction(lambda step: min(0.75, step / 10), begin=0.25, end=0.75),
]


def sparsity_of(model):
    masks = [np.array(own.mask.value) for layer in model.layers[:1] for own in layer.pruned]
    return 1.0 - masks[0].mean()


def trained(model, data, epochs=5, **options):
    """20 steps, of 16 examples each."""
    model.compile("sgd", "mse")
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(sparsity_of(model))

    callbacks = [tfprune.UpdatePruningStep(**options), Watch()]
    model.fit(*data, batch_size=16, epochs=epochs, verbose=0, callbacks=callbacks)
    return seen


def test_a_number_is_a_cubic_schedule_over_the_coming_fit(mlp, data, capsys):
    pruned = tfprune.prune(mlp, 0.9)
    seen = trained(pruned, data)
    printed = capsys.readouterr().out
    assert "Pruning over 20 steps" in printed and "begin_step=2, end_step=14" in printed
    schedule = pruned.layers[0].schedule
    assert schedule == tfprune.PolynomialDecay(0.0, 0.9, 2, 14, frequency=1)
    assert seen[1] == 0.0 and 0.0 < seen[2] < seen[5] < seen[13] == pytest.approx(0.9)
    assert len(set(np.round(seen, 4))) > 9
    assert tfprune.prune(mlp, sparsity=0.9).layers[0].schedule == tfprune.PolynomialDecay(0.0, 0.9)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_every_schedule_takes_shares(schedule, mlp, data):
    pruned = tfprune.prune(mlp, schedule)
    assert schedule.next_update(0) > 10**9
    seen = trained(pruned, data, verbose=False)
    first = 10 if isinstance(schedule, tfprune.OneShot) else 5
    assert not any(seen[: first - 1]) and seen[-1] == pytest.approx(0.75)
    assert pruned.layers[0].schedule == schedule.over(20) != schedule


def test_a_rule_is_laid_out_too_and_a_second_fit_goes_on(mlp, data):
    rules = [("out/kernel", tfprune.OneShot(0.5, begin=1.0))]
    pruned = tfprune.prune(mlp, 0.9, rules=rules)
    trained(pruned, data, verbose=False)
    assert pruned.layers[1].schedule == tfprune.OneShot(0.5, 20)
    before = pruned.layers[0].schedule
    trained(pruned, data, epochs=1, verbose=False)
    assert pruned.layers[0].schedule == before


def test_a_model_is_saved_with_its_shares_and_with_its_steps(mlp, data, tmp_path):
    pruned = tfprune.prune(mlp, 0.5)
    path = tmp_path / "model.keras"
    with pytest.warns(UserWarning, match="Less sparse than asked"):
        pruned.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.layers[0].schedule == tfprune.PolynomialDecay(0.0, 0.5, begin=0.1, end=0.7)
    trained(loaded, data, verbose=False)
    loaded.save(path)
    again = keras.models.load_model(path).layers[0].schedule
    assert again == tfprune.PolynomialDecay(0.0, 0.5, 2, 14, frequency=1)


def test_a_loop_of_ones_own_says_how_long_it_is(mlp):
    pruned = tfprune.prune(mlp, 0.5)
    optimizer = keras.optimizers.SGD()
    with refuses(ValueError, "PolynomialDecay(initial_sparsity=0.0"):
        tfprune.PruningUpdater(pruned, optimizer)
    updater = tfprune.PruningUpdater(pruned, optimizer, steps=10)
    assert updater.next_update() == 1
    assert pruned.layers[0].schedule.end_step == 7


def test_data_of_unknown_length_is_refused_before_training(mlp, data):
    pruned = tfprune.prune(mlp, 0.5)
    pruned.compile("sgd", "mse")
    batches = ((data[0][:8], data[1][:8]) for _ in range(3))
    with refuses(ValueError, "PolynomialDecay"):
        pruned.fit(batches, verbose=0, shuffle=False, callbacks=[tfprune.UpdatePruningStep()])


BAD = [
    (lambda: tfprune.PolynomialDecay(0.0, 0.5, 0, 10, begin=0.1), "begin_step=0, end_step=10"),
    (lambda: tfprune.PolynomialDecay(0.0, 0.5, begin=0.7, end=0.1), "begin=0.7, end=0.1"),
    (lambda: tfprune.PolynomialDecay(0.0, 0.5, begin=1.5), "begin=1.5"),
    (lambda: tfprune.ConstantSparsity(0.5, begin_step=3, begin=0.1), "begin_step=3"),
    (lambda: tfprune.OneShot(0.5, step=2, begin=0.1), "step=2"),
    (lambda: tfprune.schedules.as_schedule(90), "schedule=90"),
]


@pytest.mark.parametrize("make, received", BAD)
def test_steps_and_shares_exclude_each_other(make, received):
    with refuses(ValueError, received):
        make()


def test_a_percentage_is_recognized(mlp):
    with pytest.raises(ValueError, match="did you mean 0.9?"):
        tfprune.prune(mlp, 90)
    with refuses(ValueError, "sparsity=0.5"):
        tfprune.prune(mlp, 0.5, sparsity=0.5)
    with refuses(TypeError, "schedule=None"):
        tfprune.prune(mlp)
