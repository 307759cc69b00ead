"""Weight sharing: exact levels before, in and after training; zeros, channels, rules, files."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune.compression.clustering.sharing import LevelsOfWeight
from tfprune.support.arrays import host_array
from tfprune.wrapping.pruned_layer import pruned_layers

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _mlp(**options):
    parts = [keras.Input((8,)), layers.Dense(16, "relu", name="a"), layers.Dense(3, name="b")]
    return keras.Sequential(parts, **options)


def _convolutional():
    parts = [
        keras.Input((8, 8, 2)),
        layers.Conv2D(6, 3, use_bias=False, name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, name="head"),
    ]
    model = keras.Sequential(parts)
    model.get_layer("norm").moving_variance.assign(np.linspace(0.1, 3.0, 6))
    return model


def _data(model, count=64):
    random = np.random.default_rng(0)
    x = random.normal(size=(count, *model.input_shape[1:])).astype("float32")
    return x, np.arange(count) % 3


def _fit(model, optimizer=None, epochs=2, eagerly=True):  # tracing takes longer than eight steps
    model.compile(optimizer or keras.optimizers.Adam(0.01), LOSS, run_eagerly=eagerly)
    model.fit(*_data(model), batch_size=16, epochs=epochs, verbose=0)
    return model


def _distinct(kernel):
    return len(np.unique(np.asarray(kernel)))


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon"])
def test_training_moves_the_levels_and_never_parts_them(optimizer):
    model = tfprune.cluster(_mlp(), 5)
    before = tfprune.strip_pruning(model)
    after = tfprune.strip_pruning(_fit(model, keras.optimizers.get(optimizer), eagerly=False))
    for name in ("a", "b"):
        first, then = before.get_layer(name).kernel.numpy(), after.get_layer(name).kernel.numpy()
        assert _distinct(first) == _distinct(then) == 5
        assert np.abs(first - then).max() > 0
        for value in np.unique(first):
            assert _distinct(then[first == value]) == 1


def test_a_level_gets_the_sum_or_the_mean_of_the_gradients_of_its_weights():
    value = keras.ops.convert_to_tensor([1.0, 3.0, 10.0, 0.0])
    weights = keras.ops.convert_to_tensor([1.0, 2.0, 4.0, 8.0])
    for how, wanted in (("sum", [3.0, 3.0, 4.0, 0.0]), ("mean", [1.5, 1.5, 4.0, 0.0])):
        rounding = LevelsOfWeight((4,), 2, (), how)
        rounding.build(lambda name, **kwargs: keras.Variable([0, 0, 1, 2], dtype=kwargs["dtype"]))
        assert keras.ops.convert_to_numpy(rounding(value)).tolist() == [2.0, 2.0, 10.0, 0.0]
        assert _gradient(lambda w: keras.ops.sum(rounding(w) * weights), value) == wanted


def _gradient(function, value):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(value)
        result = function(value)
    return tape.gradient(result, value).numpy().tolist()


def test_zeros_stay_zeros_and_count_as_a_level():
    model = _mlp()
    kernel = model.layers[0].kernel.numpy()
    kernel[::2] = 0.0
    model.layers[0].kernel.assign(kernel)
    trained = tfprune.strip_pruning(_fit(tfprune.cluster(model, 4)))
    found = trained.layers[0].kernel.numpy()
    np.testing.assert_array_equal(found == 0, kernel == 0)
    assert _distinct(found) == 4 and _distinct(trained.layers[1].kernel) == 4
    free = tfprune.strip_pruning(tfprune.cluster(model, 4, preserve_zeros=False))
    assert _distinct(free.layers[0].kernel) == 4


def test_a_model_pruned_to_the_end_keeps_its_sparsity_and_one_in_pruning_is_refused():
    pruned = tfprune.prune(_mlp(), tfprune.PolynomialDecay(0.0, 0.75, begin_step=0, end_step=4))
    with pytest.raises(ValueError, match="pruned to the end.*Received: layer 'a'"):
        tfprune.cluster(pruned, 4)
    pruned.compile("adam", LOSS)
    pruned.fit(
        *_data(pruned), batch_size=16, epochs=2, verbose=0, callbacks=[tfprune.UpdatePruningStep()]
    )
    shared = tfprune.strip_pruning(_fit(tfprune.cluster(pruned, 4)))
    for own, layer in zip(pruned_layers(pruned), shared.layers):
        kernel = layer.kernel.numpy()
        np.testing.assert_array_equal(kernel != 0, host_array(own.pruned[0].mask.value))
        assert _distinct(kernel) <= 4


def test_a_weight_that_rules_leave_keeps_the_zeros_that_pruning_gave_it():
    pruned, _ = tfprune.one_shot(_mlp(), 0.5, verbose=False)
    shared = tfprune.strip_pruning(_fit(tfprune.cluster(pruned, 4, rules=[("b/.*", None)])))
    zeros = [float(np.mean(layer.kernel.numpy() == 0)) for layer in shared.layers]
    assert zeros == [0.5] * len(zeros)
    assert _distinct(shared.layers[1].kernel) > 4


def test_a_normalized_convolution_is_folded_and_has_levels_in_each_channel():
    model = _convolutional()
    shared = tfprune.strip_pruning(tfprune.cluster(model, 4))
    assert "norm" not in [layer.name for layer in shared.layers]
    kernel = shared.get_layer("conv").kernel.numpy().reshape(-1, 6)
    assert [_distinct(kernel[:, channel]) for channel in range(6)] == [4] * 6
    assert _distinct(kernel) == 24 and _distinct(shared.get_layer("head").kernel) == 4
    x, _ = _data(model)
    many = tfprune.strip_pruning(tfprune.cluster(model, 256))
    np.testing.assert_allclose(many(x), model(x), rtol=1e-4, atol=1e-5)
    whole = tfprune.strip_pruning(tfprune.cluster(model, 4, per="weight"))
    assert _distinct(whole.get_layer("conv").kernel) == 4


def test_rules_give_each_weight_its_levels():
    model = _mlp()
    shared = tfprune.strip_pruning(tfprune.cluster(model, 4, rules=[("a", 7), ("b", None)]))
    assert _distinct(shared.get_layer("a").kernel) == 7
    np.testing.assert_array_equal(shared.get_layer("b").kernel, model.get_layer("b").kernel)


def test_one_weight_of_a_layer_can_be_left_as_it_is():
    model = keras.Sequential([keras.Input((5, 4)), layers.LSTM(6, name="rnn"), layers.Dense(3)])
    shared = tfprune.cluster(model, 4, rules=[("recurrent_kernel", None)])
    plain = tfprune.strip_pruning(_fit(shared)).get_layer("rnn").cell
    assert _distinct(plain.kernel) == 4 and _distinct(plain.recurrent_kernel) > 4


def test_by_fisher_information_the_loss_rises_less():
    keras.utils.set_random_seed(3)
    model = _fit(_mlp(), epochs=40, eagerly=False)
    x, y = _data(model)

    def loss(init):
        data = (x, y) if init == "fisher" else None
        shared = tfprune.cluster(model, 3, init=init, data=data, examples=None)
        return float(LOSS(y, shared(x)))

    assert loss("fisher") < loss("exact")


def test_a_saved_model_goes_on_with_the_same_levels(tmp_path):
    model = _fit(tfprune.cluster(_convolutional(), 4))
    model.save(tmp_path / "shared.keras")
    again = keras.saving.load_model(tmp_path / "shared.keras")
    x, _ = _data(model)
    np.testing.assert_array_equal(again(x), model(x))
    plain = tfprune.strip_pruning(_fit(again))
    assert _distinct(plain.get_layer("conv").kernel.numpy()[..., 0]) == 4
    plain.save(tmp_path / "plain.keras")
    assert type(keras.saving.load_model(tmp_path / "plain.keras").layers[0]) is layers.Conv2D


def test_the_original_stays_as_it_is_and_the_copy_says_what_it_cannot_do():
    model = _convolutional()
    before = [weight.numpy().copy() for weight in model.weights]
    shared = tfprune.cluster(model, 4)
    for left, right in zip(before, model.weights):
        np.testing.assert_array_equal(left, right)
    with pytest.raises(ValueError, match="shared weights already.*strip_pruning"):
        tfprune.cluster(shared, 4)
    with pytest.raises(ValueError, match="`data` must be given for init='fisher'"):
        tfprune.cluster(model, 4, init="fisher")
    with pytest.raises(ValueError, match="`levels` must be >= 2. Received: levels=1"):
        tfprune.cluster(model, 1)
    with pytest.raises(ValueError, match="leave every one as it is"):
        tfprune.cluster(model, 4, rules=[(".*", None)])
    with pytest.raises(ValueError, match="value of rule 'conv'.*Received"):
        tfprune.cluster(model, 4, rules=[("conv", 1)])


class OwnModel(keras.Model):
    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = layers.Dense(units, "relu", name="first")
        self.last = layers.Dense(3, name="last")

    def build(self, input_shape):
        self.first.build(input_shape)
        self.last.build((None, self.units))

    def call(self, inputs):
        return self.last(self.first(inputs))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_subclassed_models_are_clustered_too():
    model = OwnModel()
    model.build((None, 8))
    shared = tfprune.cluster(model, 4)
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    shared.compile("adam", LOSS)
    shared.fit(x, np.arange(64) % 3, verbose=0)
    plain = tfprune.strip_pruning(shared)
    assert _distinct(plain.first.kernel) == _distinct(plain.last.kernel) == 4
