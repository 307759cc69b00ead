"""What JAX does with the state of a model in training: masks in constraints, errors, new steps."""

import pytest

from tests.support.jax_session import run_on_jax

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
