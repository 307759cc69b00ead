"""Pruning policies of tfprune.compat.tfmot, and the graph that they look at."""

import keras
import pytest

from tests.support.compat.cases import DenseOnly, small_model, wrapped_names
from tfprune.compat import tfmot
from tfprune.keras_graph.calls import layer_graph


def test_policy_chooses_the_layers_of_a_model_a_list_and_one_layer():
    model = tfmot.prune_low_magnitude(small_model(), pruning_policy=DenseOnly())
    assert wrapped_names(model.layers) == ["dense", "head"]
    members = [keras.layers.Conv1D(2, 2), keras.layers.Dense(2, name="kept")]
    listed = tfmot.prune_low_magnitude(members, pruning_policy=DenseOnly())
    assert wrapped_names(listed) == ["kept"]
    alone = tfmot.prune_low_magnitude(members[0], pruning_policy=DenseOnly())
    assert alone is members[0]


class Wide(DenseOnly):
    def allow_pruning(self, layer):
        return layer.units == 3


def twin_names(inner_class):
    x, y = keras.Input((4,)), keras.Input((4,))
    dense = keras.layers.Dense(2, name="dense")
    if inner_class is keras.Sequential:
        inner = keras.Sequential([x, dense], name="inner")
    else:
        inner = keras.Model(x, dense(x), name="inner")
    return keras.Model(y, keras.layers.Dense(3, name="dense")(inner(y)))


def test_policy_distinguishes_weights_whose_paths_end_alike():
    model = twin_names(keras.Sequential)  # inner/dense/kernel and dense/kernel
    pruned = tfmot.prune_low_magnitude(model, pruning_policy=Wide())
    assert wrapped_names(pruned.layers) == ["dense"]
    assert wrapped_names(pruned.get_layer("inner").layers) == []


def test_policy_that_tells_equal_paths_apart_is_an_error():
    model = twin_names(keras.Model)  # dense/kernel twice
    with pytest.raises(ValueError, match="different names .* named 'dense/kernel'"):
        tfmot.prune_low_magnitude(model, pruning_policy=Wide())
    both = tfmot.prune_low_magnitude(model, pruning_policy=DenseOnly())
    assert wrapped_names(both.get_layer("inner").layers) == ["dense"]


def test_policy_may_refuse_a_model():
    x = keras.Input((4,))
    model = keras.Model(x, [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])
    with pytest.raises(ValueError, match="one output, please"):
        tfmot.prune_low_magnitude(model, pruning_policy=DenseOnly())


def mobile_block(x, suffix=""):
    x = keras.layers.ZeroPadding2D(1)(x)
    x = keras.layers.Conv2D(8, 3, strides=2, name=f"first{suffix}")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    return keras.layers.Conv2D(8, 1, name=f"pointwise{suffix}")(x)


def test_xnnpack_policy_prunes_pointwise_convolutions_of_nested_models_and_operations():
    inputs = keras.Input((16, 16, 3))
    x = mobile_block(inputs)
    side = keras.layers.Conv2D(8, 1, name="side")
    head = keras.Sequential([keras.Input((8, 8, 8)), side, keras.layers.ReLU()], name="head")
    x = keras.layers.GlobalAveragePooling2D()(x + head(x) * x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    pruned = tfmot.prune_low_magnitude(model, pruning_policy=tfmot.PruneForLatencyOnXNNPack())
    assert wrapped_names(pruned.layers) == ["pointwise"]
    assert wrapped_names(pruned.get_layer("head").layers) == ["side"]


def test_xnnpack_policy_ignores_calls_of_its_layers_in_other_models():
    inputs = keras.Input((16, 16, 3))
    x = mobile_block(inputs)
    keras.Model(inputs, keras.layers.Softmax()(x))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    tfmot.PruneForLatencyOnXNNPack().ensure_model_supports_pruning(model)


def test_xnnpack_policy_needs_a_start_on_every_branch():
    inputs = [keras.Input((16, 16, 3)), keras.Input((8, 8, 8))]
    x = keras.layers.Add()([mobile_block(inputs[0]), inputs[1]])
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(ValueError, match="on every path from its inputs, a Conv2D"):
        tfmot.PruneForLatencyOnXNNPack().ensure_model_supports_pruning(model)


def test_xnnpack_policy_refuses_subclassed_and_unbuilt_models():
    class Own(keras.Model):
        pass

    policy = tfmot.PruneForLatencyOnXNNPack()
    with pytest.raises(ValueError, match="must be Sequential or Functional"):
        policy.ensure_model_supports_pruning(Own())
    with pytest.raises(ValueError, match="must be built"):
        policy.ensure_model_supports_pruning(keras.Sequential([keras.layers.Dense(2)]))


def test_layer_graph_links_each_layer_to_the_layers_it_feeds():
    inputs = keras.Input((4,), name="inputs")
    a, b = keras.layers.Dense(4, name="a"), keras.layers.Dense(4, name="b")
    inner = keras.Sequential([keras.Input((4,)), b, keras.layers.ReLU(name="relu")], name="inner")
    x = a(inputs)
    model = keras.Model(inputs, keras.layers.Add(name="add")([x, inner(x)]))
    graph = layer_graph(model)
    edges = sorted((producer.name, consumer.name) for producer, consumer in graph.edges)
    assert edges == [("a", "add"), ("a", "b"), ("b", "relu"), ("inputs", "a"), ("relu", "add")]
    assert [layer.name for layer in graph.inputs] == ["inputs"]
    assert [layer.name for layer in graph.outputs] == ["add"]
