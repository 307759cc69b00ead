"""round_biases: a trained model adds the integers that its file adds."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import tfprune
from tfprune import quantize_aware, round_biases
from tfprune.export.convert import converter, copies
from tfprune.export.encode.four_bits import in_four_bits
from tfprune.export.file.constants import inputs_of
from tfprune.export.file.signature import signature_of
from tfprune.export.file.subgraph import Subgraph


def network():
    """Every product that has a bias, some with a batch normalization to fold, of several kinds."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(layers.MaxPooling2D(2)(x))
    x = layers.ReLU()(layers.BatchNormalization(center=False, name="uncentred")(x))
    x = layers.Conv2D(6, 3, name="biased")(x)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.Conv2DTranspose(4, 2, strides=2, name="transposed")(x)
    x = layers.Conv1D(4, 3, activation="relu", name="last_conv")(layers.Reshape((4, 16))(x))
    return keras.Model(inputs, layers.Dense(5, name="out")(layers.Flatten()(x)))


def trained(bits):
    keras.utils.set_random_seed(0)
    model, random = network(), np.random.default_rng(0)
    for variable in model.variables:
        if variable.path.rsplit("/", 1)[-1] in ("bias", "beta", "moving_mean", "gamma"):
            variable.assign(random.normal(0.2, 0.5, variable.shape))
    aware = quantize_aware(model, activations=True, bits=bits)
    aware(images(), training=True)
    return aware


def images():
    return np.random.default_rng(1).normal(size=(64, 8, 8, 3)).astype("float32")


def file_of(aware):
    plain = copies.unmasked(aware, keep_ranges=True)
    return converter.convert(plain, signature_of(plain), quantize="int8")


def biases(file, scaled=False):
    """Layer -> its integers in the file, times their scale where asked, of those with a bias."""
    subgraph = Subgraph(file.model, file.model.subgraphs[0])
    found = {}
    for operator in subgraph.operators:
        _, bias = inputs_of(subgraph, operator)
        for name in ("transposed", "last_conv", "out"):
            if bias is not None and f"{name}/" in subgraph.name(bias):
                scale = subgraph.tensor(bias).quantization.scale if scaled else 1
                found[name] = (subgraph.values(bias) * scale).tolist()
    assert len(found) == 3
    return found


def steps_apart(aware, file):
    """How many steps of its range the file's outputs are from the model's, with XNNPACK."""
    interpreter = Interpreter(model_content=file.content)
    interpreter.allocate_tensors()
    given, returned = (
        each()[0]["index"]
        for each in (interpreter.get_input_details, interpreter.get_output_details)
    )
    found = []
    for image in images():
        interpreter.set_tensor(given, image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(returned)[0].copy())
    last = aware.layers[-1]
    step = float(last.high.value - last.low.value) / 255
    return np.round(np.abs(found - np.asarray(aware(images()))) / step)


def test_the_file_stays_as_it_is_and_the_model_gives_what_it_gives():
    aware = trained(8)
    before = file_of(aware)
    apart = steps_apart(aware, before)
    round_biases(aware)
    assert biases(file_of(aware)) == biases(before)
    assert np.mean(apart == 0) < 0.99
    assert np.mean(steps_apart(aware, before) == 0) > 0.997


def test_biases_of_four_bit_weights_have_the_unit_of_their_file():
    aware = trained(4)
    round_biases(aware, quantize="int4")
    file = in_four_bits(file_of(aware))[0]
    for name, found in biases(file, scaled=True).items():
        layer = aware.get_layer(name).layer
        np.testing.assert_allclose(found, layer.bias.numpy(), rtol=1e-5, err_msg=name)


def test_a_second_time_changes_nothing_and_other_weights_stay():
    aware = trained(8)
    before = {variable.path: variable.numpy() for variable in aware.variables}
    round_biases(aware)
    once = {variable.path: variable.numpy() for variable in aware.variables}
    changed = {path for path in before if not np.array_equal(before[path], once[path])}
    ends = ("norm/beta", "uncentred/moving_mean", "transposed/bias", "last_conv/bias", "out/bias")
    assert all(any(path.endswith(end) for path in changed) for end in ends)
    assert {path.rsplit("/", 1)[-1] for path in changed} == {"beta", "moving_mean", "bias"}
    assert not any(path.endswith("biased/bias") for path in changed)  # its normalization moves
    round_biases(aware)
    for variable in aware.variables:
        np.testing.assert_allclose(variable.numpy(), once[variable.path], rtol=1e-5, atol=1e-6)


def test_a_bias_becomes_a_multiple_of_the_steps_of_inputs_times_weights():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, name="out")])
    model.set_weights([np.array([[127, 2, 0], [1, 254, 0]]), np.array([0.7, 0.9, 0.3])])
    aware = quantize_aware(model, activations=True)
    aware(np.array([[0.0, 0.0], [255.0, 0.0]]), training=True)
    round_biases(aware)  # steps of 1 in the inputs, of 1 and 2 in the weights
    found = aware.get_layer("out").layer.bias.numpy()
    assert found.tolist() == [1.0, 0.0, np.float32(0.3)]  # of a channel of zeros as it was


def test_masks_stay_and_the_stripped_model_has_the_biases():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, name="out")])
    model.layers[0].kernel.assign(np.eye(6, 8))
    model.layers[0].bias.assign(np.linspace(-1, 1, 8))
    aware = quantize_aware(model, activations=True)
    aware(np.random.default_rng(0).normal(size=(16, 6)), training=True)
    round_biases(aware)
    plain = tfprune.strip_pruning(aware)
    assert np.count_nonzero(plain.layers[0].kernel) == 6
    assert np.array_equal(plain.layers[0].bias, aware.get_layer("out").layer.bias)


def test_wrong_models_and_files_are_refused():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    with pytest.raises(TypeError, match="`model` must be a keras.Model"):
        round_biases("model")
    for other in (model, quantize_aware(model)):
        with pytest.raises(ValueError, match=r"must round its activations.*Received: model='seq"):
            round_biases(other)
    aware = quantize_aware(model, activations=True)
    with pytest.raises(ValueError, match="2 of 2 ranges were never observed"):
        round_biases(aware)
    for kind in ("int16", None, "dynamic"):
        with pytest.raises(ValueError, match=f"`quantize` must be .*Received: quantize={kind!r}"):
            round_biases(aware, quantize=kind)
