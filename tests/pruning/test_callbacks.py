"""TensorBoard summaries, interrupted fits, and functional subclasses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfprune
from tests.support.helpers import fit, sparsity
from tfprune.wrapping.pruned_layer import pruned_layers


def scalars(folder):
    """All scalars in the event files of a folder: tag -> {step: value}."""
    found = {}
    for path in folder.rglob("*tfevents*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                number = (
                    float(tf.make_ndarray(value.tensor).reshape(-1)[0])
                    if (value.tensor.dtype == tf.float32.as_datatype_enum)
                    else None
                )
                found.setdefault(value.tag, {})[event.step] = number
    return found


def test_pruning_summaries_write_sparsity_and_threshold_of_every_weight(mlp, data, tmp_path):
    plan = tfprune.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=16, frequency=4)
    pruned = tfprune.prune(mlp, plan)
    summaries = tfprune.PruningSummaries(log_dir=str(tmp_path))
    fit(pruned, data, epochs=2, callbacks=[summaries, tfprune.UpdatePruningStep()])
    written = scalars(tmp_path)
    path = pruned.layers[0].pruned[0].weight.path
    assert set(written[f"{path}/sparsity"]) == {0, 8, 16}
    assert written[f"{path}/sparsity"][16] == pytest.approx(0.8)
    own = pruned.layers[0].pruned[0]
    largest = np.abs(own.weight.numpy()[~own.mask.numpy()]).max()
    assert written[f"{path}/threshold"][16] == pytest.approx(largest)


def test_weights_of_one_path_have_summaries_of_their_own(data, tmp_path):
    x, hidden = keras.Input((6,)), keras.Input((8,))
    inner = keras.Model(hidden, keras.layers.Dense(3, name="a")(hidden))
    model = keras.Model(x, inner(keras.layers.Dense(8, name="a")(x)))
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    paths = {own.weight.path for layer in pruned_layers(pruned) for own in layer.pruned}
    callbacks = [tfprune.PruningSummaries(str(tmp_path)), tfprune.UpdatePruningStep()]
    fit(pruned, data, callbacks=callbacks)
    (path,), written = paths, scalars(tmp_path)
    assert f"{path}/sparsity" in written and f"{path}#2/sparsity" in written


def test_pruning_summaries_refuse_a_log_dir_that_is_no_path():
    for log_dir in ("", None, 3):
        with pytest.raises(ValueError, match="log_dir"):
            tfprune.PruningSummaries(log_dir=log_dir)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            raise KeyboardInterrupt


def test_a_fit_after_an_interrupted_one_goes_on_from_its_step(mlp, data):
    plan = tfprune.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=12, frequency=1)
    pruned = tfprune.prune(mlp, plan)
    with pytest.raises(KeyboardInterrupt):
        fit(pruned, data, callbacks=[tfprune.UpdatePruningStep(), Interrupt()])
    assert sparsity(pruned, "hidden") == pytest.approx(1 - round((1 - plan(4)) * 120) / 120)
    callback = tfprune.UpdatePruningStep()
    fit(pruned, data, optimizer=None, callbacks=[callback])
    assert callback.updater.step == 12
    assert sparsity(pruned, "hidden") == pytest.approx(0.8)


class OwnGraph(keras.Model):
    def __init__(self, units=5):
        inputs = keras.Input((6,))
        super().__init__(inputs, keras.layers.Dense(units)(inputs))
        self.units = units


def test_a_class_that_builds_its_own_graph_is_pruned_as_a_functional_model_with_a_warning():
    with pytest.warns(UserWarning, match="OwnGraph.*its copy is a Functional"):
        pruned = tfprune.prune(OwnGraph(), tfprune.OneShot(0.5))
    assert len(pruned_layers(pruned)) == 1


def test_class_weights_that_scores_do_not_see_are_told_of_once(mlp, data):
    x, y = data
    labels = y.argmax(axis=1)

    def train(scorer, update, class_weight):
        pruned = tfprune.prune(mlp, tfprune.OneShot(0.5), scorer=scorer)
        pruned.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        options = {"verbose": 0, "callbacks": [update], "class_weight": class_weight}
        pruned.fit(x, labels, **options)
        pruned.fit(x, labels, **options)

    weights = {0: 5.0, 1: 1.0, 2: 1.0}
    with pytest.warns(
        UserWarning, match=r"`class_weight` .* Snip scores on.*sample_weight"
    ) as seen:
        train("snip", tfprune.UpdatePruningStep((x, labels)), weights)
    assert len([w for w in seen if "class_weight" in str(w.message)]) == 1
    train("magnitude", tfprune.UpdatePruningStep(), weights)
    train("snip", tfprune.UpdatePruningStep((x, labels)), None)


class Traced(keras.layers.Layer):
    """Counts how often Python computes it."""

    count = 0

    def call(self, inputs):
        self.count += 1
        return inputs


class OfOneLayer(keras.Model):
    """Trains its last layer only, with an optimizer that knows no other."""

    def train_step(self, data):
        x, y = data
        weights = self.layers[-1].trainable_variables
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


@pytest.mark.parametrize("kind", [keras.Model, OfOneLayer])
def test_a_step_of_keras_is_traced_once_though_its_optimizer_has_slots(kind, data):
    inputs = keras.Input((6,))
    traced = Traced()
    outputs = keras.layers.Dense(3, name="out")(keras.layers.Dense(4)(traced(inputs)))
    pruned = tfprune.prune(kind(inputs, outputs), tfprune.ConstantSparsity(0.5))
    (traced,) = (layer for layer in pruned.layers if isinstance(layer, Traced))
    before = traced.count
    fit(pruned, data, optimizer="adam")
    assert traced.count == before + (1 if kind is keras.Model else 2)
    momenta = [v for v in pruned.optimizer.variables if "momentum" in v.path]
    assert len(momenta) == (4 if kind is keras.Model else 2)


def test_history_has_the_sparsity_of_every_epoch(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.PolynomialDecay(0.0, 0.8, 0, 8, frequency=1))
    pruned.compile("sgd", "mse")
    history = pruned.fit(
        *data, batch_size=16, epochs=3, verbose=0, callbacks=[tfprune.UpdatePruningStep()]
    ).history
    assert 0.0 < history["sparsity"][0] < history["sparsity"][1]
    assert history["sparsity"][1] == history["sparsity"][2] == pytest.approx(0.8)


def test_a_class_in_the_place_of_a_callback_is_one_clear_error(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.5))
    pruned.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"write UpdatePruningStep\(\)"):
        pruned.fit(*data, verbose=0, callbacks=[tfprune.UpdatePruningStep])
