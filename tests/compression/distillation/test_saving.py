"""Checkpoints of a distillation, and the state of its teacher."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune

X = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
Y = np.arange(16) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(width=6):
    hidden = layers.Dense(width, "relu", name="hidden")
    return keras.Sequential([keras.Input((5,)), hidden, layers.Dense(3)])


def filled(model):
    draws = np.random.default_rng(1)
    model.set_weights([draws.normal(size=each.shape) for each in model.get_weights()])
    return model


def distilled(student=None, teacher=None):
    made = tfprune.distill(
        student or filled(network(4)), teacher or filled(network(9)), hints=[("hidden", "hidden")]
    )
    made.compile("adam", LOSS)
    return filled(made)


def fit(model, epochs, *callbacks):
    model.fit(X, Y, epochs=epochs, shuffle=False, verbose=0, callbacks=[*callbacks])


def test_a_checkpoint_is_the_student(tmp_path):
    model, path = distilled(), tmp_path / "c.keras"
    fit(model, 1, keras.callbacks.ModelCheckpoint(str(path)))
    loaded = keras.saving.load_model(path)
    assert type(loaded) is keras.Sequential
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_what_is_exported_is_the_student(monkeypatch):
    model, exported = distilled(), []
    monkeypatch.setattr(model.student, "export", lambda path, **options: exported.append(options))
    model.export("a", format="onnx")
    assert exported == [{"format": "onnx"}]


def test_a_checkpoint_of_a_pruned_student_is_pruned(tmp_path):
    path = tmp_path / "c.keras"
    student = tfprune.prune(network(), tfprune.OneShot(0.5))
    model = tfprune.distill(student, network(9))
    model.compile("adam", LOSS)
    fit(model, 3, tfprune.UpdatePruningStep(), keras.callbacks.ModelCheckpoint(str(path)))
    plain = tfprune.strip_pruning(keras.saving.load_model(path))
    wanted = tfprune.strip_pruning(student)
    for mine, own in zip(plain.get_weights(), wanted.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, own)


class Interruption(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_a_training_that_was_interrupted_goes_on_with_its_regressors_and_optimizer(tmp_path):
    whole = distilled()
    fit(whole, 4)
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    with pytest.raises(KeyboardInterrupt):
        fit(distilled(), 4, backup, Interruption())
    resumed = distilled(network(4))
    fit(resumed, 4, keras.callbacks.BackupAndRestore(str(tmp_path / "backup")))
    assert int(resumed.optimizer.iterations) == int(whole.optimizer.iterations) == 4
    assert len(resumed.weights) == 6
    for mine, own in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), own.numpy(), rtol=1e-5)


def test_weights_of_a_checkpoint_are_read_by_a_distilled_model(tmp_path):
    model, path = distilled(), tmp_path / "c.weights.h5"
    fit(model, 1, keras.callbacks.ModelCheckpoint(str(path), save_weights_only=True))
    other = distilled(network(4))
    other.optimizer.build(other.trainable_variables)  # Keras warns otherwise
    other.load_weights(path)
    for mine, own in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), own.numpy())


def test_the_state_of_a_stateful_teacher_runs_on_as_in_its_predict():
    def recurrent(stateful):
        rnn = layers.SimpleRNN(3, stateful=stateful, name="rnn")
        return keras.Sequential([keras.Input((4, 5), batch_size=4), rnn])

    def state(model):
        return model.get_layer("rnn").states[0].numpy()

    teacher, x = recurrent(True), np.random.default_rng(0).normal(size=(8, 4, 5))
    before = [weight.numpy() for weight in teacher.weights]
    teacher.predict(x, batch_size=4, verbose=0)
    wanted = state(teacher)
    teacher.get_layer("rnn").reset_state()
    model = tfprune.distill(recurrent(False), teacher)
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((8, 3)), batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(state(teacher), wanted, rtol=1e-5)
    for mine, own in zip(teacher.weights, before, strict=True):
        np.testing.assert_array_equal(mine.numpy(), own)
