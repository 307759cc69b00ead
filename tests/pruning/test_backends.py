"""JAX: wrap, train, update, strip, save and load without TensorFlow, and errors on the way."""

import textwrap

import keras
import numpy as np
import pytest

import tfprune
from tests.support.helpers import run_python
from tests.support.jax_session import ENVIRONMENT, run_on_jax

JAX_SESSION = """
    import sys
    import keras, numpy as np, tfprune
    assert keras.config.backend() == "jax"
    assert "tensorflow" not in sys.modules  # later on, Keras's own serializer looks for it

    class SparsityAtBatchEnd(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []
        def on_train_batch_end(self, batch, logs=None):
            plain = tfprune.strip_pruning(self.model)
            self.seen.append(float((np.array(plain.get_layer("hidden").kernel) == 0).mean()))

    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    x = keras.layers.Dropout(0.2)(keras.layers.Dense(20, activation="relu", name="hidden")(inputs))
    x = keras.layers.BatchNormalization()(keras.layers.Reshape((5, 4))(x))
    x = keras.layers.LSTM(4, dropout=0.2, name="lstm")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, kernel_regularizer="l2", name="out")(x))
    before = [np.array(v) for v in model.variables]
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    y = np.ones((64, 3), "float32")

    plan = tfprune.PolynomialDecay(0.0, 0.8, begin_step=2, end_step=13, frequency=4)
    for options in ({}, {"steps_per_execution": 4}, {"run_eagerly": True}):
        pruned = tfprune.prune(model, plan)
        pruned.compile("adam", "mse", **options)
        seen = SparsityAtBatchEnd()
        pruned.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0,
                   callbacks=[seen, tfprune.UpdatePruningStep()])
        if not options:
            steps = [0, 2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 13, 13, 13, 13]
            wanted = [0.0] + [1 - round((1 - plan(s)) * 120) / 120 for s in steps[1:]]
            assert np.allclose(seen.seen, wanted), (seen.seen, wanted)
        assert abs(seen.seen[-1] - 0.8) < 1e-9, (options, seen.seen)
    assert all(np.array_equal(a, np.array(v)) for a, v in zip(before, model.variables))

    expected = pruned.predict(x, verbose=0)
    plain = tfprune.strip_pruning(pruned)
    plain.compile(run_eagerly=True)  # as the pruned model: compiled code may round differently
    assert np.array_equal(plain.predict(x, verbose=0), expected)
    tfprune.report(plain, verbose=False).to_dict()
    pruned.save("PATH")
    loaded = keras.saving.load_model("PATH")
    assert np.array_equal(loaded.predict(x, verbose=0), expected)
    assert int(np.array(loaded.get_layer("hidden").pruning_step)) == 16

    try:
        tfprune.prune(model, plan)
        refused = tfprune.prune(model, plan)
        refused.compile("sgd", "mse")
        refused.fit(x, y, verbose=0)
        raise SystemExit("training without the callback was not refused")
    except ValueError as error:
        assert "UpdatePruningStep" in str(error)
"""


def test_jax_wraps_trains_updates_strips_saves_and_loads(tmp_path):
    path = str(tmp_path / "model.keras")
    run_python(JAX_SESSION.replace("PATH", path), **ENVIRONMENT)


def test_jax_and_tensorflow_make_the_same_masks(capsys):
    code = """
        import keras, numpy as np, tfprune
        random = np.random.default_rng(0)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(20), keras.layers.Dense(3)])
        model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
        x, y = random.normal(size=(64, 6)), random.normal(size=(64, 3))
        pruned = tfprune.prune(model, tfprune.ConstantSparsity(0.6, frequency=3))
        pruned.compile(keras.optimizers.SGD(0.01), "mse")
        pruned.fit(x, y, batch_size=8, shuffle=False, verbose=0,
                   callbacks=[tfprune.UpdatePruningStep()])
        print([np.packbits(np.array(layer.pruned[0].mask)).tolist() for layer in pruned.layers])
    """
    on_jax = run_on_jax(code)
    exec(textwrap.dedent(code), {})
    assert capsys.readouterr().out == on_jax
    assert on_jax.count("[") == 3


def test_gradient_scores_on_another_backend_are_refused_before_training(monkeypatch):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(20), keras.layers.Dense(3)])
    data = np.ones((8, 6)), np.ones((8, 3))
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="TensorFlow or the JAX backend.*KERAS_BACKEND=torch"):
        tfprune.one_shot(model, 0.5, "taylor", data, "mse")


START = """
import keras, numpy as np, tfprune
random = np.random.default_rng(0)
x, y = random.normal(size=(32, 6)).astype("float32"), random.normal(size=(32, 8)).astype("float32")

def pruned(schedule=tfprune.PolynomialDecay(0.25, 0.75, 2, 6, frequency=2), **options):
    layer = keras.layers.Dense(8, name="d", kernel_constraint=options.pop("constraint", None))
    model = tfprune.prune(keras.Sequential([keras.Input((6,)), layer]), schedule, **options)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model

def fit(model, *callbacks, data=None):
    callbacks = [*callbacks, tfprune.UpdatePruningStep(data)]
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)

def zeros(model):
    return float(np.mean(np.array(tfprune.strip_pruning(model).layers[0].kernel) == 0))
"""


def test_constraints_see_the_masks_of_their_step():
    run_on_jax(f"""{START}
unit = keras.constraints.UnitNorm(axis=0)
model = pruned(constraint=unit)
fit(model)
norms = [np.linalg.norm(tfprune.strip_pruning(model).layers[0].kernel, axis=0)]
for _ in range(2):  # compiled once, with masks that are set in between
    mask = np.zeros((6, 8), bool)
    mask[random.permutation(6)[:3]] = True
    model.layers[0].pruned[0].mask.assign(mask)
    model.train_on_batch(x, y)
    norms.append(np.linalg.norm(tfprune.strip_pruning(model).layers[0].kernel, axis=0))
own = keras.optimizers.SGD(0.1)
own.build(model.trainable_variables)
own.apply([keras.ops.ones(v.shape) for v in model.trainable_variables], model.trainable_variables)
norms.append(np.linalg.norm(tfprune.strip_pruning(model).layers[0].kernel, axis=0))
for found in norms:
    assert np.allclose(found[found > 0], 1, atol=1e-5) and found.any(), norms
""")


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ValueError"])
def test_an_error_in_an_update_is_that_error_and_leaves_the_model_as_it_was(call, error):
    run_on_jax(f"""{START}
class Fails:
    calls = 0
    def __call__(self, weights, evidence):
        self.calls += 1
        if self.calls == {call}:
            raise {error}("scored")
        return {{name: np.abs(w) for name, w in weights.items()}}

model = pruned(scorer=Fails())
try:
    fit(model)
except {error} as found:
    assert str(found) == "scored"
else:
    raise SystemExit("not raised")
assert int(model.optimizer.iterations) == 2 * {call}
assert np.isfinite(model.evaluate(x, y, verbose=0))
fit(model)
assert zeros(model) == 0.75
""")


def test_a_training_step_that_a_callback_makes_anew_prunes_on():
    run_on_jax(f"""{START}
class Anew(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.model.make_train_function(force=True)

model = pruned()
fit(model, Anew())
assert zeros(model) == 0.75 and int(model.layers[0].pruning_step.value) == 8
""")


def test_a_model_in_training_with_rounding_leaves_the_one_it_was_made_of_alone():
    run_on_jax(f"""{START}
model = pruned(scorer="movement", schedule=tfprune.OneShot(0.75, step=1))
fit(model, data=(x, y))
before = model.get_weights()
aware = tfprune.quantize_aware(model)
aware.compile("sgd", "mse")
aware.fit(x, y, verbose=0)
assert all(map(np.array_equal, before, model.get_weights()))
fit(model, data=(x, y))
""")


def test_shrinking_on_the_command_line_leaves_out_what_tensorflow_measures(tmp_path):
    shown = run_on_jax(f"""{START}
from tfprune import cli
hidden = keras.layers.Dense(16, "relu")
keras.Sequential([keras.Input((6,)), hidden, keras.layers.Dense(3)]).save("{tmp_path}/m.keras")
assert cli.main(["shrink", "{tmp_path}/m.keras", "--macs", "0.5", "-o", "{tmp_path}/s.keras"]) == 0
assert keras.saving.load_model("{tmp_path}/s.keras").layers[0].units == 8
""")
    assert "Bytes and latency are measured with KERAS_BACKEND=tensorflow alone." in shown
