"""prune and strip_pruning: what they copy, share, refuse and leave alone."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfprune
from tests.support.helpers import fit, same_values, sparsity
from tfprune.wrapping.pruned_layer import pruned_layers

HALF = tfprune.OneShot(0.5)


@keras.saving.register_keras_serializable("tests")
class TiedHead(layers.Layer):
    """Projects onto the rows of another layer's embedding."""

    def __init__(self, embedding, **kwargs):
        super().__init__(**kwargs)
        self.embedding = embedding

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.embedding.embeddings))

    def get_config(self):
        return {**super().get_config(), "embedding": self.embedding}


@keras.saving.register_keras_serializable("tests")
class Language(keras.Model):
    """A subclassed model with layers in attributes and lists, a nested model and a tied output."""

    def __init__(self, units=6, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.embedding = layers.Embedding(20, units, mask_zero=True)
        self.lstm = layers.LSTM(units, dropout=0.1)
        self.blocks = [layers.Dense(units, activation="relu") for _ in range(2)]
        self.by_name = {"norm": layers.LayerNormalization(), "extra": layers.Dense(units)}
        self.nested = keras.Sequential([keras.Input((units,)), layers.Dense(units)])

    def call(self, inputs, training=False):
        x = self.lstm(self.embedding(inputs))
        for block in self.blocks:
            x = block(x)
        x = self.nested(self.by_name["extra"](self.by_name["norm"](x)))
        return ops.matmul(x, ops.transpose(self.embedding.embeddings))

    def get_config(self):
        return {"units": self.units, "name": self.name}


@pytest.fixture
def tokens():
    x = np.random.default_rng(0).integers(0, 20, (32, 7))
    return x, np.eye(20, dtype="float32")[x[:, 0]]


@pytest.fixture
def language(tokens):
    model = Language(name="language")
    model(tokens[0])
    return model


def test_the_original_is_untouched_by_wrapping_training_and_stripping(mlp, data):
    mlp.compile("sgd", "mse")
    before = [v.numpy() for v in mlp.variables]
    config = mlp.get_config()
    pruned = fit(tfprune.prune(mlp, HALF), data)
    tfprune.strip_pruning(pruned)
    assert mlp.get_config() == config
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, mlp.variables))
    assert not {id(v) for v in mlp.variables} & {id(v) for v in pruned.variables}


def test_stripping_leaves_the_pruned_model_trainable(mlp, data):
    pruned = fit(tfprune.prune(mlp, HALF), data)
    before = [v.numpy() for v in pruned.variables]
    stripped = fit(tfprune.strip_pruning(pruned), data, callbacks=[])
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, pruned.variables))
    assert not {id(v) for v in stripped.variables} & {id(v) for v in pruned.variables}


def test_the_stripped_model_has_the_same_classes_names_and_outputs(data):
    inputs = {"a": keras.Input((6,), name="a"), "b": keras.Input((6,), name="b")}
    joined = layers.Add(name="sum")([inputs["a"] * 2.0, inputs["b"]])
    outputs = {
        "y": layers.Dense(3, name="y")(joined),
        "z": layers.Dense(2, name="z")(layers.ReLU(name="relu")(joined)),
    }
    model = keras.Model(inputs, outputs, name="two")
    pruned = tfprune.prune(model, HALF)
    assert pruned.output_names == model.output_names
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD()).begin()
    stripped = tfprune.strip_pruning(pruned)
    assert [type(a) for a in stripped.layers] == [type(a) for a in model.layers]
    assert [a.name for a in stripped.layers] == [a.name for a in model.layers]
    x = {"a": data[0], "b": data[0]}
    for key, value in stripped.predict(x, verbose=0).items():
        assert np.array_equal(value, pruned.predict(x, verbose=0)[key])


def test_a_model_with_an_unserializable_loss_is_pruned_and_stripped(data, language, tokens):
    inputs = keras.Input((6,))
    models = [
        (keras.Sequential([keras.Input((6,)), layers.Dense(3)]), data),
        (keras.Model(inputs, layers.Dense(3)(inputs)), data),
        (language, tokens),
    ]
    for model, batch in models:
        model.compile("sgd", lambda y, predicted: ops.mean((y - predicted) ** 2))
        pruned = fit(tfprune.prune(model, HALF), batch)
        plain = tfprune.strip_pruning(pruned)
        assert model.compiled and plain.loss == pruned.loss
        plain.fit(*batch, verbose=0)
        model.fit(*batch, verbose=0)


def test_layers_that_keras_does_not_copy_faithfully_are_copied(data):
    normalization = layers.Normalization()
    normalization.adapt(data[0] * 3 + 1)
    inputs = keras.Input((6,))
    hidden = layers.Lambda(lambda x: x * 2, name="double")(normalization(inputs))
    model = keras.Model(inputs, layers.Dense(3)(hidden))
    pruned = tfprune.prune(model, tfprune.ConstantSparsity(0.0))
    expected = model.predict(data[0], verbose=0)
    assert np.array_equal(pruned.predict(data[0], verbose=0), expected)
    stripped = tfprune.strip_pruning(pruned)
    assert np.array_equal(stripped.predict(data[0], verbose=0), expected)


def test_stripped_zeros_have_no_sign(mlp, data):
    kernel = tfprune.strip_pruning(fit(tfprune.prune(mlp, HALF), data)).layers[0].kernel.numpy()
    assert (kernel == 0).sum() == 60 and not np.signbit(kernel[kernel == 0]).any()


def test_shared_layers_stay_shared_and_count_once(data):
    inputs = keras.Input((6,))
    shared = layers.Dense(6, name="shared")
    model = keras.Model(inputs, layers.Dense(3)(shared(shared(inputs))))
    pruned = fit(tfprune.prune(model, HALF), data)
    assert len(pruned_layers(pruned)) == 2
    assert len(pruned.trainable_variables) == len(model.trainable_variables)
    stripped = tfprune.strip_pruning(pruned)
    assert len(stripped.weights) == len(model.weights)
    assert tfprune.report(stripped, verbose=False).to_dict()["prunable"]["size"] == 36 + 18


def test_a_layer_shared_by_two_nested_models_stays_shared(data):
    shared = layers.Dense(6, name="shared")

    def tower(name):
        inputs = keras.Input((6,))
        return keras.Model(inputs, shared(inputs), name=name)

    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(3)(tower("a")(inputs) + tower("b")(inputs)))
    pruned = fit(tfprune.prune(model, HALF), data)
    first, second = pruned.get_layer("a"), pruned.get_layer("b")
    assert first.get_layer("shared") is second.get_layer("shared")
    stripped = tfprune.strip_pruning(pruned)
    assert len(stripped.weights) == len(model.weights)
    assert np.array_equal(stripped.predict(data[0], verbose=0), pruned.predict(data[0], verbose=0))


def test_tied_weights_stay_tied_have_equal_masks_and_count_once(tokens):
    inputs = keras.Input((7,), dtype="int32")
    embedding = layers.Embedding(20, 6, name="embedding")
    hidden = layers.GlobalAveragePooling1D()(embedding(inputs))
    model = keras.Model(inputs, TiedHead(embedding, name="head")(hidden))
    pruned = fit(tfprune.prune(model, HALF), tokens)
    wrappers = [layer for layer in pruned_layers(pruned)]
    assert len(wrappers) == 2
    first, second = (layer.pruned[0] for layer in wrappers)
    assert first.weight is second.weight
    assert np.array_equal(first.mask.numpy(), second.mask.numpy())
    assert np.count_nonzero(first.mask.numpy()) == 60
    assert len(pruned.trainable_variables) == 1
    stripped = tfprune.strip_pruning(pruned)
    assert len(stripped.weights) == 1
    assert np.count_nonzero(stripped.weights[0].numpy()) == 60
    assert np.array_equal(
        stripped.predict(tokens[0], verbose=0), pruned.predict(tokens[0], verbose=0)
    )


def test_reversible_embedding_is_masked_in_both_directions(tokens):
    inputs = keras.Input((7,), dtype="int32")
    tied = layers.ReversibleEmbedding(20, 6, name="tied")
    hidden = layers.GlobalAveragePooling1D()(tied(inputs))
    model = keras.Model(inputs, tied(hidden, reverse=True))
    pruned = fit(tfprune.prune(model, HALF), tokens)
    stripped = tfprune.strip_pruning(pruned)
    assert np.array_equal(
        stripped.predict(tokens[0], verbose=0), pruned.predict(tokens[0], verbose=0)
    )


def test_nested_models_are_pruned_inside(data):
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, name="deep")], name="inner")
    outer = keras.Sequential([keras.Input((6,)), inner, layers.Dense(3, name="out")])
    pruned = fit(tfprune.prune(outer, HALF), data)
    assert [layer.name for layer in pruned_layers(pruned)] == ["deep", "out"] or [
        layer.name for layer in pruned_layers(pruned)
    ] == ["out", "deep"]
    stripped = tfprune.strip_pruning(pruned)
    assert np.count_nonzero(stripped.get_layer("inner").get_layer("deep").kernel.numpy()) == 15


def test_subclassed_models_are_wrapped_in_place_of_their_attributes(language, tokens):
    before = [v.numpy() for v in language.variables]
    pruned = fit(tfprune.prune(language, HALF), tokens, optimizer="adam")
    assert isinstance(pruned, Language)
    for layer in (pruned.embedding, pruned.lstm, *pruned.blocks, pruned.by_name["extra"]):
        assert isinstance(layer, tfprune.PrunedLayer)
    assert isinstance(pruned.by_name["norm"], layers.LayerNormalization)
    assert isinstance(pruned.nested.layers[0], tfprune.PrunedLayer)
    stripped = tfprune.strip_pruning(pruned)
    assert type(stripped) is Language
    assert np.count_nonzero(stripped.embedding.embeddings.numpy()) == 60
    assert np.array_equal(
        stripped.predict(tokens[0], verbose=0), pruned.predict(tokens[0], verbose=0)
    )
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, language.variables))


def test_a_pruned_subclassed_model_is_saved_and_loaded_with_its_masks(language, tokens, tmp_path):
    pruned = fit(tfprune.prune(language, HALF), tokens, optimizer="adam")
    pruned.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Language) and isinstance(loaded.lstm, tfprune.PrunedLayer)
    assert same_values(loaded, pruned) and same_values(loaded.optimizer, pruned.optimizer)
    assert type(tfprune.strip_pruning(loaded)) is Language


def test_a_user_model_built_with_pruned_layers_is_stripped(data):
    inputs = keras.Input((6,))
    hidden = tfprune.PrunedLayer(layers.Dense(20, name="hidden"), HALF)(inputs)
    steps = layers.Reshape((5, 4))(hidden)
    timed = layers.TimeDistributed(tfprune.PrunedLayer(layers.Dense(3, name="timed"), HALF))
    model = fit(keras.Model(inputs, layers.GlobalAveragePooling1D()(timed(steps))), data)
    assert sparsity(model, "hidden") == 0.5
    stripped = tfprune.strip_pruning(model)
    assert not pruned_layers(stripped)
    assert np.array_equal(stripped.predict(data[0]), model.predict(data[0]))


def test_timestep_masks_pass_through_wrapped_layers():
    inputs = keras.Input((7,), dtype="int32")
    x = layers.Embedding(20, 6, mask_zero=True)(inputs)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.Dense(5))(x)
    model = keras.Model(inputs, layers.LSTM(3)(x))
    pruned = tfprune.prune(model, tfprune.ConstantSparsity(0.0))
    x = np.random.default_rng(0).integers(1, 20, (4, 7))
    x[:, 4:] = 0
    assert np.array_equal(pruned.predict(x, verbose=0), model.predict(x, verbose=0))
    embedded = pruned.layers[1](x)
    assert isinstance(pruned.layers[1], tfprune.PrunedLayer)
    assert np.array_equal(ops.convert_to_numpy(embedded._keras_mask), x != 0)


def test_masking_layer_reaches_a_wrapped_lstm():
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, layers.LSTM(4)(layers.Masking()(inputs)))
    pruned = tfprune.prune(model, tfprune.ConstantSparsity(0.0))
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    x[:, 3:] = 0
    longer = np.concatenate([x, np.zeros((4, 2, 3), "float32")], axis=1)[:, :5]
    assert np.array_equal(pruned.predict(x, verbose=0), model.predict(longer, verbose=0))


def test_stateful_lstm_and_initial_state_pass_through():
    inputs = keras.Input((4, 3), batch_size=2)
    sequence, *state = layers.LSTM(5, stateful=True, return_sequences=True, return_state=True)(
        inputs
    )
    model = keras.Model(inputs, layers.LSTM(5)(sequence, initial_state=state))
    pruned = tfprune.prune(model, tfprune.ConstantSparsity(0.0))
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    for _ in range(2):  # the second call starts from the state that the first one left
        assert np.array_equal(pruned.predict(x, verbose=0), model.predict(x, verbose=0))
    states = [v.numpy() for v in pruned.get_layer(index=1).layer.non_trainable_variables]
    assert any(np.abs(state).sum() > 0 for state in states)
