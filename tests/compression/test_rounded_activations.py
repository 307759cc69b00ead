"""quantize_aware(activations=True): files whose integers are those of the trained Keras model."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import tfprune
from tests.support.helpers import same_values
from tfprune.compression.range_placement import RangePlacement
from tfprune.export.convert import converter, copies
from tfprune.export.file.signature import signature_of
from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.wrapping.ranges.ranged_layer import ranges_in


def convolutional():
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="first")(inputs)
    stem = layers.ReLU(name="stem")(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(stem)
    x = layers.BatchNormalization(name="norm_2")(x)
    x = layers.ReLU(name="sum")(layers.Add(name="add")([stem, x]))
    left = layers.Conv2D(4, 1, activation="relu", name="left")(x)
    x = layers.Concatenate(name="joined")([left, layers.Conv2D(4, 3, padding="same")(x), x])
    x = layers.AveragePooling2D(2)(layers.MaxPooling2D(2)(x))
    x = layers.SeparableConv2D(6, 2, activation="silu", name="separable")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(layers.BatchNormalization(name="free")(x))
    return keras.Model(inputs, layers.Dense(5, "softmax", name="out")(x))


def one_dimensional():
    inputs = keras.Input((10, 4))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(8, 3)(inputs)))
    x = layers.SeparableConv1D(6, 3)(x)
    x = layers.Dense(8, "gelu")(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, layers.Dense(3, "sigmoid")(x))


def nested():
    inputs = keras.Input((6, 6, 3))
    parts = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()]
    x = keras.Sequential([keras.Input((6, 6, 3)), *parts], name="body")(inputs)
    x = layers.Conv2DTranspose(4, 2, strides=2)(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(keras.ops.relu(x))))


def language():
    inputs = keras.Input((3,), dtype="int32")
    x = layers.LSTM(8, return_sequences=True)(layers.Embedding(20, 6)(inputs))
    return keras.Model(inputs, layers.Dense(20)(x))


def gated():
    return keras.Sequential([keras.Input((3, 4)), layers.GRU(4), layers.Dense(3)])


def attentive():
    inputs = keras.Input((6, 8))
    x = inputs + layers.MultiHeadAttention(2, 4)(inputs, inputs)
    dense = layers.EinsumDense("abc,cd->abd", (6, 5), bias_axes="d", activation="relu")
    return keras.Model(inputs, layers.Dense(3)(dense(x)))


MODELS = (convolutional, one_dimensional, nested, language, gated, attentive)


def examples(model, count=32):
    random = np.random.default_rng(0)
    shape = (count, *model.input_shape[1:])
    if model.inputs[0].dtype == "int32":
        return random.integers(0, 20, shape).astype("int32")
    return random.normal(size=shape).astype("float32")


def trained(model, **options):
    """With ranges and statistics of two batches, weights as they were."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.5
    aware = tfprune.quantize_aware(model, activations=True, **options)
    x = examples(model)
    for batch in (x[:16], x[16:]):
        aware(batch, training=True)
    return aware


def converted(aware):
    """The converter's file, run by the plain kernels: operators, outputs, and their scale."""
    plain = copies.unmasked(aware, keep_ranges=True)
    file = converter.convert(plain, signature_of(plain), quantize="int8")
    interpreter = Interpreter(model_content=file.content, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    types = {each["index"]: each for each in interpreter.get_tensor_details()}
    given = interpreter.get_input_details()[0]["index"]
    returned = interpreter.get_output_details()[0]["index"]
    outputs = []
    for example in examples(aware):
        interpreter.set_tensor(given, example[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(returned)[0].copy())
    graph = [op for op in interpreter._get_ops_details() if op["op_name"] != "DELEGATE"]
    scale = types[graph[-1]["inputs"][0]]["quantization"][0]
    floats = [op["op_name"] for op in graph if types[op["outputs"][0]]["dtype"] is np.float32]
    return floats, np.stack(outputs), scale


@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors:UserWarning")
@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_the_file_computes_in_integers_and_agrees_within_one_step(build):
    aware = trained(build())
    floats, outputs, scale = converted(aware)
    expected = np.asarray(aware(examples(aware)))
    assert floats.count("DEQUANTIZE") >= 1 and set(floats) <= {"DEQUANTIZE", "SPLIT", "RESHAPE"}
    steps = np.abs(outputs - expected) / scale
    assert np.mean(steps < 1.01) > 0.95 and steps.max() < 3.01
    assert np.ptp(expected) > 10 * scale


def test_ranges_stand_after_what_the_runtime_fuses_and_join_what_it_concatenates():
    aware = tfprune.quantize_aware(convolutional(), activations=True)
    between = [layer.name for layer in aware.layers if layer.name.startswith("range_")]
    assert set(between) == {"range_of_input_0"} | {
        f"range_after_{name}"
        for name in ("stem", "norm_2", "sum", "joined", "separable", "free", "mean", "out")
    }
    assert aware.get_layer("range_after_out").interval == (0.0, 255 / 256)
    inside = {item.name for item in ranges_in(aware)} - set(between)
    assert inside == {"range_depthwise", "range_before", "range_scaled"}


def test_what_has_no_integer_kernel_stays_in_float_and_is_named():
    inputs = keras.Input((4,))
    x = layers.LayerNormalization(name="norm")(layers.Dense(4, name="first")(inputs))
    model = keras.Model(inputs, layers.Dense(2, activation="selu", name="last")(x))
    with pytest.warns(UserWarning, match=r"In float32 .*: norm \(LayerNormalization .*last \("):
        aware = tfprune.quantize_aware(model, activations=True)
    names = [layer.name for layer in aware.layers if layer.name.startswith("range")]
    assert names == ["range_of_input_0", "range_after_first"]
    assert [*RangePlacement(model).in_float] == ["norm", "last"]


def test_masks_schedule_and_zeros_stay_and_a_stripped_model_is_plain():
    random = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(16, "relu"), layers.Dense(3)])
    pruned = tfprune.prune(model, tfprune.OneShot(0.5))
    pruned.compile("sgd", "mse")
    data = random.normal(size=(8, 6)), random.normal(size=(8, 3))
    pruned.fit(*data, callbacks=[tfprune.UpdatePruningStep()], verbose=0)
    masks = [layer.pruned[0].mask.numpy() for layer in pruned.layers]
    aware = tfprune.quantize_aware(pruned, activations=True)
    aware.compile("sgd", "mse")
    aware.fit(*data, verbose=0)
    plain = tfprune.strip_pruning(aware)
    assert [type(layer) for layer in plain.layers] == [layers.Dense, layers.Dense]
    for layer, mask in zip(plain.layers, masks, strict=True):
        assert np.array_equal(layer.kernel.numpy() != 0, mask)
    again = tfprune.strip_pruning(tfprune.quantize_aware(plain, activations=True))
    assert all(map(np.array_equal, plain.get_weights(), again.get_weights()))


@pytest.mark.parametrize("build", [convolutional, nested, attentive, gated])
def test_a_saved_model_has_its_ranges_and_the_original_stays(build, tmp_path):
    model = build()
    before = model.get_weights()
    aware = trained(model)
    assert all(item.was_observed for item in ranges_in(aware))
    aware.save(tmp_path / "aware.keras")
    loaded = keras.saving.load_model(tmp_path / "aware.keras")
    assert same_values(aware, loaded) and len(ranges_in(loaded)) == len(ranges_in(aware))
    x = examples(aware)
    assert np.array_equal(loaded(x), aware(x))
    assert all(map(np.array_equal, before, model.get_weights()))
    plain, *copies = (
        sorted(layer.name for layer in outer_layers(each))
        for each in (model, tfprune.strip_pruning(loaded), aware)
    )
    assert copies == [plain, plain]


def test_models_without_a_graph_are_refused():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Own()
    model(np.ones((1, 3)))
    with pytest.raises(ValueError, match="`model` must be Sequential or Functional.*Own"):
        tfprune.quantize_aware(model, activations=True)
    with pytest.raises(TypeError, match="`activations` must be True or False"):
        tfprune.quantize_aware(model, activations="yes")
