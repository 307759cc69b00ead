"""What strip_pruning keeps of how a model was compiled."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfprune


class Halved(keras.metrics.Mean):
    """A metric that Keras does not know."""

    def update_state(self, y, predicted, sample_weight=None):
        return super().update_state(0.5 * ops.abs(y - predicted), sample_weight)


class Slow(keras.optimizers.SGD):
    """An optimizer that Keras does not know."""


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    return random.random((16, 4)).astype("float32"), random.random((16, 3)).astype("float32")


def trained(data, **settings):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    pruned.compile(**settings)
    pruned.fit(*data, verbose=0, callbacks=[tfprune.UpdatePruningStep()])
    return pruned


def test_a_stripped_model_is_compiled_with_a_fresh_optimizer_of_the_same_settings(data):
    rate = keras.optimizers.schedules.CosineDecay(0.1, 50)
    optimizer = keras.optimizers.Adam(rate, beta_1=0.8, clipnorm=1.0)
    settings = {"loss": "mse", "metrics": ["mae", Halved(name="half")], "jit_compile": False}
    pruned = trained(data, optimizer=optimizer, **settings)
    plain = tfprune.strip_pruning(pruned)
    assert plain.optimizer is not pruned.optimizer and plain.optimizer.built
    assert plain.optimizer.get_config() == pruned.optimizer.get_config()
    found, wanted = (m.evaluate(*data, verbose=0, return_dict=True) for m in (plain, pruned))
    assert found == pytest.approx(wanted) and {*found} == {"loss", "mae", "half"}
    assert plain.jit_compile is False


def test_an_optimizer_and_a_loss_that_keras_does_not_know_are_kept(data):
    def squared(y, predicted):
        return ops.mean((y - predicted) ** 2)

    plain = tfprune.strip_pruning(trained(data, optimizer=Slow(0.5), loss=squared))
    assert type(plain.optimizer) is Slow and plain.loss is squared
    plain.fit(*data, verbose=0)


def test_a_file_of_the_stripped_model_is_smaller_where_it_is_not_compiled(data, tmp_path):
    pruned = trained(data, optimizer="adam", loss="mse")
    for name, compiled in (("with", True), ("without", False)):
        plain = tfprune.strip_pruning(pruned, compile=compiled)
        plain.save(tmp_path / f"{name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras")
        assert loaded.compiled is compiled
        assert not compiled or int(loaded.optimizer.iterations.numpy()) == 0
    sizes = [(tmp_path / f"{name}.keras").stat().st_size for name in ("with", "without")]
    assert sizes[1] < sizes[0]


def test_a_smaller_model_is_compiled_alike(data):
    dense = layers.Dense(8, name="first"), layers.Dense(3, name="last")
    model = keras.Sequential([keras.Input((4,)), *dense])
    rules = [("last", None)]
    pruned = tfprune.prune(model, 0.5, structure=tfprune.Channel(), rules=rules)
    pruned.compile(keras.optimizers.SGD(0.25), "mse")
    pruned.fit(*data, batch_size=2, epochs=3, verbose=0, callbacks=[tfprune.UpdatePruningStep()])
    small = tfprune.strip_pruning(pruned, shrink=True)
    assert float(small.optimizer.learning_rate) == 0.25 and small.loss == "mse"


def mean_of(y, predicted):
    """A metric that is a function Keras does not know."""
    return ops.mean(predicted)


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("metric", [Halved, lambda: mean_of], ids=["class", "function"])
def test_metrics_of_ones_own_are_kept_before_a_fit_and_after(data, metric, fitted):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(3)])
    model.compile("sgd", "mse", metrics=[metric()], weighted_metrics=[metric()])
    if fitted:
        model.fit(*data, verbose=0)
    small = tfprune.channels.prune(model, tfprune.channels.plan(model, 0.5))
    small.evaluate(*data, verbose=0)
    (measured,) = (part for part in small.metrics if hasattr(part, "metrics"))
    assert len(measured.metrics) == 2


def test_settings_that_cannot_be_written_down_are_said(data):
    class Nameless(keras.optimizers.SGD):
        def get_config(self):
            raise NotImplementedError("no settings")

    pruned = trained(data, optimizer=Nameless(0.1), loss="mse")
    with pytest.warns(UserWarning, match="stripped model of .* has to be compiled again.*no sett"):
        assert not tfprune.strip_pruning(pruned).compiled


def test_a_model_that_was_not_compiled_is_not_compiled_after_either():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    assert not tfprune.strip_pruning(tfprune.prune(model, tfprune.OneShot(0.5))).compiled


def test_a_copy_that_is_pruned_at_once_is_compiled_as_the_model_is(data):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.125), "mse", metrics=["mae"])
    pruned, _ = tfprune.one_shot(model, 0.5, "magnitude")
    assert float(pruned.optimizer.learning_rate) == 0.125
    assert pruned.optimizer is not model.optimizer
    assert {*pruned.evaluate(*data, verbose=0, return_dict=True)} == {"loss", "mae"}
    assert tfprune.strip_pruning(pruned).loss == "mse"


@keras.saving.register_keras_serializable("test_compile_settings")
class Adversaries(keras.Model):
    """A model with a `compile` of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)

    def compile(self, generator, discriminator, **kwargs):
        super().compile(generator, **kwargs)
        self.discriminator = keras.optimizers.get(discriminator)


@keras.saving.register_keras_serializable("test_compile_settings")
class Restored(Adversaries):
    """The same, which says how it is compiled from a config."""

    def get_compile_config(self):
        return {"generator": "sgd", "discriminator": "adam", "loss": "mse"}

    def compile_from_config(self, config):
        self.compile(**config)


def test_a_model_with_a_compile_of_its_own_is_compiled_where_it_says_how(data):
    for kind, compiled in ((Adversaries, False), (Restored, True)):
        model = kind()
        model(data[0])
        model.compile("sgd", "adam", loss="mse")
        pruned, _ = tfprune.one_shot(model, 0.5, "magnitude")
        assert pruned.compiled is compiled
        pruned.compile("sgd", "adam", loss="mse")
        assert tfprune.strip_pruning(pruned).compiled is compiled
