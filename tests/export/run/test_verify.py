"""A file is compared with Keras, and with itself on every kind of kernel."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.export.weight_readers import chained, inputs_of_file
from tfprune.export import to_tflite
from tfprune.export.builder import build
from tfprune.export.convert import converter, copies
from tfprune.export.file import flatbuffer, signature
from tfprune.export.run import child, runtime, verify
from tfprune.targets.target import TARGETS


def words(*tail, table=64, length=16):
    """Embeddings of which 90 % are zero, and what reads them."""
    stack = [keras.Input((length,), dtype="int32"), layers.Embedding(400, table), *tail]
    model = keras.Sequential(stack)
    values = model.layers[0].embeddings.numpy()
    values[np.random.default_rng(0).random(values.shape) < 0.9] = 0
    model.layers[0].embeddings.assign(values)
    return model


TAGGERS = {
    "lstm": lambda: words(layers.LSTM(64), layers.Dense(4, activation="softmax")),
    "convolution": lambda: words(
        layers.Conv1D(32, 3, activation="relu"), layers.GlobalMaxPooling1D(), layers.Dense(4)
    ),
    "both directions": lambda: words(
        layers.Bidirectional(layers.LSTM(32, return_sequences=True)), layers.Dense(4)
    ),
}


@pytest.mark.parametrize("quantize", ["float16", "int8_weights"])
@pytest.mark.parametrize("name", TAGGERS)
def test_pruned_tables_are_read_the_same_by_all_kernels(name, quantize, tmp_path):
    model = TAGGERS[name]()
    path = tmp_path / "model.tflite"
    report = to_tflite(model, path, quantize=quantize)
    tables = [
        entry for entry in report.encodings if entry.name == f"{model.layers[0].name}/embeddings"
    ]
    assert [entry.dtype for entry in tables] == [{"float16": "float16"}.get(quantize, "int8")]
    tokens = np.random.default_rng(1).integers(0, 400, (16, 16)).astype(np.int32)
    first, second = runtime.outputs(path, [tokens], batch=1).values()
    scale = np.max(np.abs(second[0]))
    assert np.max(np.abs(first[0] - second[0])) < 1e-5 * scale
    assert report.largest_difference < {"float16": 2e-3}.get(quantize, 3e-2)


def signed(model):
    main = model.subgraphs[0]
    tensor = main.tensors[int(main.inputs[0])]
    shape = tuple(int(size) for size in tensor.shape)
    dtype = flatbuffer.TYPE_NAMES[tensor.type]
    return signature.Signature(
        (signature.Input("x", shape, dtype),), None, batch=1, free_batch=False
    )


def test_a_file_that_kernels_disagree_on_is_refused_however_coarse_its_rounding(tmp_path):
    model, path = chained("GATHER"), tmp_path / "model.tflite"
    path.write_bytes(flatbuffer.pack(model))
    inputs = inputs_of_file(model)
    (plain,) = runtime.outputs(path, inputs, kernels=[child.OWN_KERNELS]).values()
    plain[0] *= 20  # Keras's outputs are so large that the difference is within the tolerance
    sample = verify.Sample("tokens", inputs, [plain[0]], like_keras=False)
    with pytest.raises(ValueError, match="the same with all kernels: output 0 differs by"):
        verify.check(path, signed(model), [sample], quantize="int8_weights")


def test_nan_is_an_error_whatever_is_allowed():
    nan = np.array([[1.0, np.nan]], np.float32)
    fine = np.array([[1.0, 0.0]], np.float32)
    for outputs in ([nan, nan], [fine, nan], [nan, fine]):
        found = dict(zip(runtime.KERNELS, ([array] for array in outputs)))
        with pytest.raises(ValueError, match="differs by nan"):
            verify._require_agreement(found, np.inf)


def test_each_output_has_its_own_scale():
    large, small = np.full((1, 2), 1e6, np.float32), np.full((1, 2), 1e-2, np.float32)
    plain = [large, small]
    found = {runtime.KERNELS[0]: [large, small * 1.01], runtime.KERNELS[1]: plain}
    with pytest.raises(ValueError, match="output 1 differs by 1.00e-02"):
        verify._require_agreement(found, 1e-3)


def test_random_examples_are_several_and_of_more_than_one_kind():
    model = keras.Sequential([keras.Input((50,)), layers.Dense(2)])
    (values,) = verify.random_inputs(model, signature.signature_of(model))
    assert values.shape == (8, 50) and values[:4].min() < -1
    assert values[4:].min() >= 0 and values[4:].max() <= 1


def lstm_with_states(seed, units=32, steps=17, features=16, gain=4):
    """States of many steps, in which a difference by one step of 255 is carried on."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((steps, features))
    model = keras.Model(
        inputs, layers.LSTM(units, return_sequences=True, return_state=True)(inputs)
    )
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            kept = rng.random((weight.shape[0] // 16, weight.shape[1])) >= 0.9
            weight.assign(weight.numpy() * np.repeat(kept, 16, axis=0) * 2 * gain)
    return model


def test_ties_that_a_recurrent_layer_carries_on_are_no_defect(tmp_path, monkeypatch):
    """The sparse file is 7.6e-2 off the dense one, by numbers that are off by one at a time."""
    model = lstm_with_states(6)
    data = np.random.default_rng(1).standard_normal((64, 17, 16)).astype(np.float32)
    options = {"target": "size", "quantize": "int8", "representative_data": data}
    report = to_tflite(model, tmp_path / "model.tflite", **options)
    assert "native 1x16" in {entry.encoding for entry in report.encodings}
    monkeypatch.setattr(verify, "_CARRIED_ON", 0.0)
    with pytest.raises(ValueError, match="what the same numbers stored densely do.* more than 5e-"):
        to_tflite(model, tmp_path / "again.tflite", **options)


def test_single_layers_of_sparse_and_dense_integers_differ_by_one_step_at_most(tmp_path):
    model = keras.Sequential([keras.Input((128,)), layers.Dense(256)])
    kept = np.repeat(np.random.default_rng(0).random((8, 256)) < 0.1, 16, axis=0)
    model.layers[0].kernel.assign(model.layers[0].kernel.numpy() * kept)
    data = [np.random.default_rng(1).standard_normal((64, 128)).astype(np.float32)]
    plain = signature.signature_of(model)
    dense = converter.convert(
        copies.unrolled(model, plain), plain, quantize="int8", representative=data
    )
    built = build(dense, target=TARGETS["size"], quantize="int8")
    paths = [tmp_path / "dense.tflite", tmp_path / "sparse.tflite"]
    for path, content in zip(paths, (dense.content, built.content)):
        path.write_bytes(content)
    runs = [runtime.Run(path, data, 1) for path in paths]
    found = [arrays[0] for outputs in runtime.outputs_of(runs) for arrays in outputs.values()]
    step = np.min(np.diff(np.unique(found[1])))
    for array in found:
        steps = np.round((array - found[1]) / step)
        assert np.max(np.abs(steps)) <= 1 and np.mean(steps != 0) < 0.01
