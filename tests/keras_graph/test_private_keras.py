"""Contracts of the private names of Keras that tfprune uses, one or more for each of them.

`scripts/test.sh --keras VERSION` runs them with another version of Keras.
"""

import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.helpers import dense
from tests.support.jax_session import run_on_jax
from tfprune.keras_graph import private_keras


class Pair(keras.layers.Layer):
    """Two layers one after the other, in attributes of its own."""

    def __init__(self, first, second):
        super().__init__()
        self.first = first
        self.second = second

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build(self.first.compute_output_shape(input_shape))

    def call(self, inputs):
        return self.second(self.first(inputs))


def test_every_function_has_a_contract_here():
    functions = [
        name
        for name, value in vars(private_keras).items()
        if callable(value) and not isinstance(value, type)
        if getattr(value, "__module__", "") == private_keras.__name__
    ]
    assert len(functions) > 8
    here = "".join(file.read_text() for file in Path(__file__).parent.glob("test_private_*.py"))
    assert [name for name in functions if f"private_keras.{name}(" not in here] == []


def test_sublayers_are_those_at_every_depth_with_the_layer_itself_once():
    first, second = dense(3, 2)
    inner = Pair(first, second)
    outer = Pair(inner, first)
    found = private_keras.sublayers(outer)
    assert found[0] is outer and len(found) == 4
    assert {*map(id, found)} == {*map(id, (outer, inner, first, second))}


def test_sublayers_of_a_wrapper_a_cell_and_a_model_are_found():
    cell = keras.layers.LSTMCell(2)
    recurrent = keras.layers.Bidirectional(keras.layers.RNN(cell))
    model = keras.Sequential([keras.Input((4, 3)), recurrent])
    found = private_keras.sublayers(model)
    assert recurrent in found and recurrent.forward_layer in found
    assert sum(isinstance(layer, keras.layers.LSTMCell) for layer in found) >= 2


@pytest.fixture
def built():
    layer = Pair(*dense(3, 2))
    layer.build((None, 4))
    return layer


def test_a_replaced_sublayer_is_no_longer_counted_and_the_new_one_is(built):
    old, new = built.first, keras.layers.Dense(3, name="new")
    new.build((None, 4))
    with private_keras.replaced_sublayer(built, old, new):
        built.first = new
    found = private_keras.sublayers(built)
    assert new in found and old not in found
    assert {*map(id, built.weights)} == {*map(id, new.weights + built.second.weights)}


def test_two_places_of_one_sublayer_are_replaced_one_after_the_other(built):
    old, new = built.first, keras.layers.Dense(3, name="new")
    for _ in range(2):
        with private_keras.replaced_sublayer(built, old, new):
            built.first = new
    assert [layer.name for layer in private_keras.sublayers(built)].count("new") == 1


def test_a_built_layer_is_locked_again_after_a_replacement(built):
    new = keras.layers.Dense(3)
    with private_keras.replaced_sublayer(built, built.first, new):
        built.first = new
    with pytest.raises(ValueError, match="cannot add new elements of state"):
        built.third = keras.layers.Dense(1)


def test_scoped_objects_are_those_of_the_innermost_scope_around():
    assert "Own" not in private_keras.scoped_objects()
    with keras.saving.custom_object_scope({"Other": Pair}):
        with keras.saving.custom_object_scope({"Own": keras.Model}):
            assert private_keras.scoped_objects() == {"Own": keras.Model}
    assert "Own" not in private_keras.scoped_objects()


def test_output_shape_of_a_lambda_is_what_it_was_made_with():
    assert private_keras.output_shape_of(keras.layers.Lambda(abs)) is None
    assert private_keras.output_shape_of(keras.layers.Lambda(abs, output_shape=(3,))) == (3,)


def test_timestep_mask_hangs_on_the_tensor_that_an_embedding_gives_or_where_it_is_hung():
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    embedded = keras.layers.Embedding(5, 2, mask_zero=True)(tokens)
    mask = keras.ops.convert_to_numpy(private_keras.timestep_mask(embedded))
    assert mask.tolist() == [[True, True, False], [True, False, False]]
    plain = keras.layers.Embedding(5, 2)(tokens)
    assert private_keras.timestep_mask(plain) is None
    for given in (None, keras.ops.convert_to_tensor(mask)):
        private_keras.set_timestep_mask(plain, given)
        assert private_keras.timestep_mask(plain) is given


def test_a_mean_is_divided_among_replicas(monkeypatch):
    among = types.SimpleNamespace(num_replicas_in_sync=4)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: among)
    assert float(private_keras.divided_among_replicas(keras.ops.ones(()))) == 0.25


def test_loss_weights_and_metrics_are_those_given_to_compile_and_its_optimizer_has_the_weights():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="out")])
    assert private_keras.compiled_loss_weights(model) is None
    model.compile("sgd", "mse")
    assert private_keras.compiled_loss_weights(model) is None
    model.compile("sgd", "mse", [0.5], metrics=["mae", dense], weighted_metrics=[[dense]])
    assert list(private_keras.compiled_loss_weights(model)) == [0.5]
    assert private_keras.compiled_metrics(model) == ["mae", dense, dense]
    model.optimizer.build(own := model.trainable_variables)
    assert [*map(id, private_keras.trained_variables(model.optimizer))] == [*map(id, own)]


def test_a_scope_without_state_is_known_inside_alone():
    with keras.StatelessScope():
        assert private_keras.in_stateless_scope()
    assert not private_keras.in_stateless_scope()


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`:UserWarning")
def test_first_input_shape_builds_a_sequential_model_and_may_be_among_the_layers_arguments():
    (layer,), other = dense(2), keras.layers.Dense(2, input_shape=(5,))
    assert private_keras.first_input_shape(layer) is None
    private_keras.set_first_input_shape(layer, (4,))
    assert private_keras.first_input_shape(layer) == (4,)
    assert keras.Sequential([layer]).input_shape == (None, 4)
    assert tuple(private_keras.first_input_shape(other)) == (5,)


def test_a_variable_keeps_the_path_that_it_is_given():
    model = keras.Sequential([keras.Input((3,)), *dense(2)])
    private_keras.set_path(model.weights[0], "other/kernel")
    model.compile("sgd", "mse")
    assert model.weights[0].path == model.trainable_variables[0].path == "other/kernel"


def test_model_in_training_is_the_model_of_the_callback():
    class Notes(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.seen = private_keras.model_in_training(self)

    model, notes = keras.Sequential([keras.Input((3,)), *dense(2)]), Notes()
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0, callbacks=[notes])
    assert notes.seen is model


def test_a_state_of_jax_is_written_back_to_the_model_that_it_is_of():
    run_on_jax("""
        import keras, numpy as np
        from tfprune.keras_graph import private_keras
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile("sgd", "mse")
        model.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
        lists = [model.trainable_variables, model.non_trainable_variables,
                 model.optimizer.variables, model.metrics_variables]
        twos = [[v.value * 0 + 2 for v in part] for part in lists]
        private_keras.write_back_jax_state(model, twos)
        assert all((np.array(v) == 2).all() for part in lists for v in part)
    """)


def test_train_writer_writes_into_the_folder_of_training(tmp_path):
    class Notes(keras.callbacks.TensorBoard):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            with private_keras.train_writer(self).as_default():
                self.summary.scalar("noted", 1.0, step=epoch)

    model = keras.Sequential([keras.Input((3,)), *dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0, callbacks=[Notes(tmp_path)])
    written = b"".join(file.read_bytes() for file in (tmp_path / "train").iterdir())
    assert b"noted" in written


def test_attention_layers_have_four_projections():
    query = keras.Input((4, 6))
    for layer in (keras.layers.MultiHeadAttention(2, 3), keras.layers.GroupQueryAttention(3, 4, 2)):
        layer(query, query)
        parts = private_keras.attention_projections(layer)
        assert [tuple(part.kernel.shape)[:1] for part in parts[:3]] == [(6,)] * 3
        assert parts[3].kernel.shape[-1] == 6
        assert sum(part.count_params() for part in parts) == layer.count_params()


def test_attention_tells_its_mask_its_dropout_and_whether_it_is_plain():
    x = np.ones((1, 3, 2), "float32")
    attention = keras.layers.MultiHeadAttention(1, 2, dropout=0.5)
    attention(x, x)
    mask = private_keras.attention_mask_of(attention, x, x, use_causal_mask=True)
    assert np.array_equal(np.asarray(mask)[0], np.tri(3, dtype=bool))
    assert np.array_equal(private_keras.attention_dropout(attention, x, training=False), x)
    over_two = keras.layers.MultiHeadAttention(1, 2, attention_axes=(1, 2))
    assert [private_keras.is_plain_attention(each) for each in (attention, over_two)] == [1, 0]


def test_a_wrapper_takes_the_signature_of_its_layer_and_knows_when_it_trains():
    class Passing(keras.layers.Wrapper):
        def call(self, *args, **kwargs):
            self.trains = private_keras.in_training(self)
            return self.layer(*args, **kwargs)

    wrapper = Passing(keras.layers.Dropout(0.5))
    taken = private_keras.take_call_signature(wrapper, wrapper.layer)
    assert list(taken.parameters) == ["inputs", "training"]
    for training in (True, False):
        wrapper(np.ones((1, 2)), training=training)
        assert wrapper.trains is training
