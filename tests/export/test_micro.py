"""Files for microcontrollers: smaller, and the same to the last bit in tflite-micro."""

import dataclasses
import re

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.export.micro_models import NETWORKS, compressed
from tests.support.export.models import mlp, zero_out
from tfprune.export import inspect_tflite, lint, to_tflite
from tfprune.export.encode.micro import insertion
from tfprune.export.file import flatbuffer, micro_decoding
from tfprune.export.run import micro, runtime

pytestmark = pytest.mark.skipif(not micro.is_installed(), reason="needs the tflite-micro package")


def examples(model, count=16):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def export(model, path, quantize="int8", **options):
    if quantize is not None:
        options["representative_data"] = examples(model)
    return to_tflite(model, path, target="microcontroller", quantize=quantize, **options)


def dense_layers(*units, inputs=64, **options):
    model = [keras.Input((inputs,)), *(layers.Dense(each, **options) for each in units)]
    return compressed(keras.Sequential(model))


BITS = 1.5  # a weight, all tables included, of 15 levels and 90 % zeros


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_microcontrollers_run_in_int8_at_few_bits_a_weight(name, tmp_path):
    keras.utils.set_random_seed(0)
    report = export(compressed(NETWORKS[name]()), tmp_path / "m.tflite")
    assert report.coverage.defects == () and report.encodings
    assert report.micro.weights > 19_000 and report.micro.bits_per_weight <= BITS
    for entry in report.encodings:
        assert entry.encoded_bytes < entry.dense_bytes


@pytest.mark.parametrize("name", ["lenet", "mobilenet"])
def test_float32_networks_run_too(name, tmp_path):
    report = export(compressed(NETWORKS[name]()), tmp_path / "m.tflite", quantize=None)
    assert report.bytes < report.dense_bytes / 3
    assert report.largest_difference < 1e-5


def test_the_file_holds_the_numbers_of_the_dense_one(tmp_path):
    model = zero_out(mlp(64), 0.9)
    path, dense = tmp_path / "m.tflite", tmp_path / "dense.tflite"
    export(model, path)
    export(model, dense, sparse=False)
    again = tmp_path / "again.tflite"
    again.write_bytes(flatbuffer.pack(micro_decoding.plain(flatbuffer.read(path).model)))
    first, second = (runtime.outputs(each, [examples(model, 1)]) for each in (again, dense))
    assert path.stat().st_size < dense.stat().st_size
    for kernels in runtime.KERNELS:
        assert np.array_equal(first[kernels][0], second[kernels][0])


def test_a_wrong_code_is_found_before_the_file_appears(tmp_path, monkeypatch):
    def wrong(weight):
        found = smallest(weight)
        return found and dataclasses.replace(found, codes=found.codes ^ np.uint8(64))

    smallest = insertion.smallest
    monkeypatch.setattr(insertion, "smallest", wrong)
    with pytest.raises(ValueError, match="to the last bit"):
        export(dense_layers(128), tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == []


def test_each_reader_of_a_weight_has_a_decoder_right_before_it(tmp_path):
    recurrent = keras.Sequential([keras.Input((3, 16)), layers.SimpleRNN(64)])
    path = tmp_path / "m.tflite"
    report = export(compressed(recurrent), path)
    model, _ = flatbuffer.read(path)
    (graph,) = model.subgraphs
    names = [flatbuffer.operator_name(model, operator) for operator in graph.operators]
    assert names.count("CUSTOM TFLM_DECODE") == report.micro.decoders > len(report.encodings)
    made = {int(o.outputs[0]): place for place, o in enumerate(graph.operators)}
    for place, operator in enumerate(graph.operators):
        for index in operator.inputs.tolist():
            if index in made and names[made[index]] == "CUSTOM TFLM_DECODE":
                assert made[index] == place - 1


def test_memory_and_decoding_are_reported(tmp_path):
    report = export(dense_layers(128), tmp_path / "m.tflite")
    assert report.micro.expanded == report.micro.weights == 64 * 128
    assert report.micro.arena_bytes > max(64 * 128, report.micro.dense_arena_bytes)
    text = str(report)
    assert "bytes of arena" in text and "bits a weight" in text and "--c-array" in text
    assert report.to_dict()["micro"]["decoders"] == 1
    assert report.micro.slowdown > 0 and "times the dense file's time on this PC" in text
    assert "bits a weight" in report.table()


def test_an_arena_that_is_too_small_is_an_error_that_tells_what_it_takes(tmp_path):
    model, needed = dense_layers(128), re.compile(r"must be at least ([\d,]+) for this file")
    with pytest.raises(ValueError, match="`arena_bytes` .*Received: arena_bytes=1,000") as refused:
        export(model, tmp_path / "m.tflite", arena_bytes=1000)
    assert list(tmp_path.iterdir()) == []
    least = int(needed.search(str(refused.value))[1].replace(",", ""))
    report = export(model, tmp_path / "m.tflite", arena_bytes=least)
    assert report.micro.arena_bytes == least
    with pytest.raises(ValueError, match="`arena_bytes` must be None unless.*Received"):
        to_tflite(model, tmp_path / "m.tflite", arena_bytes=least)


def test_weights_of_one_distribution_share_a_table(tmp_path):
    path = tmp_path / "m.tflite"
    report = export(dense_layers(64, 64, 64), path)
    model, _ = flatbuffer.read(path)
    (graph,) = model.subgraphs
    decoders = [
        operator
        for operator in graph.operators
        if "DECODE" in flatbuffer.operator_name(model, operator)
    ]
    tables = {graph.tensors[int(operator.inputs[1])].buffer for operator in decoders}
    assert len(decoders) == len(report.encodings) == 3 and len(tables) == 1
    first, *others = (entry.encoded_bytes for entry in report.encodings)
    assert min(first, *others) > 64 * 64 / 8 and all(first > other for other in others)


def test_sixteen_levels_without_zeros_take_four_bits_and_a_table(tmp_path):
    kernel = keras.layers.Dense(256).kernel_initializer((128, 256)).numpy()
    levels = np.quantile(kernel, (np.arange(16) + 0.5) / 16)
    model = keras.Sequential([keras.Input((128,)), layers.Dense(256)])
    nearest = np.abs(kernel[..., None] - levels).argmin(-1)
    model.layers[0].kernel.assign(levels[nearest])
    report = export(model, tmp_path / "m.tflite")
    (entry,) = report.encodings
    assert entry.encoded_bytes <= 128 * 256 * 4 / 8 + 16 + 16 * 16
    report = export(model, tmp_path / "m.tflite", quantize=None)
    (entry,) = report.encodings
    assert entry.encoding == "lookup table"
    assert entry.encoded_bytes == 128 * 256 * 4 / 8 + 16 + 16 * 4


def test_what_an_encoded_weight_adds_to_the_file_is_no_more_than_counted(tmp_path):
    model = dense_layers(128)
    path, dense = tmp_path / "m.tflite", tmp_path / "dense.tflite"
    report = export(model, path)
    dense_file = flatbuffer.read(export(model, dense, sparse=False).path).model
    dense_file.metadata, dense_file.signatureDefs = [], []
    insertion._drop_names(dense_file)
    (entry,) = report.encodings
    saved = entry.dense_bytes - entry.encoded_bytes
    added = report.bytes - (len(flatbuffer.pack(dense_file)) - saved)
    assert 0 < added <= insertion.TENSOR_BYTES + insertion.STEP_BYTES


def test_an_operator_that_tflite_micro_lacks_is_named_with_its_layer(tmp_path):
    inputs = keras.Input((8,))
    tiled = layers.RepeatVector(3, name="repeated")(layers.Dense(4)(inputs))
    model = keras.Model(inputs, tiled)
    with pytest.raises(ValueError, match="no operator TILE.*repeated.*use Concatenate"):
        export(model, tmp_path / "m.tflite", quantize=None)
    assert list(tmp_path.iterdir()) == []


def test_the_last_layer_is_named_too_whatever_lacks_or_refuses_it(tmp_path):
    act = keras.Sequential([keras.Input((8,)), layers.Dense(4, activation="gelu", name="act")])
    plus = keras.Sequential([keras.Input((8,)), layers.Dense(4, activation="softplus", name="sp")])
    with pytest.raises(ValueError, match="no operator GELU, which the layer 'act.*use another"):
        export(act, tmp_path / "m.tflite")
    with pytest.raises(ValueError, match="Node EXP.*it is the layer 'sp/.*another `quantize`"):
        export(plus, tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_stops_the_runtime_is_an_error_like_any_other(tmp_path):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, activation="softmax")])
    model.layers[0].kernel.assign(model.layers[0].kernel * 1e-9)  # a scale too small for softmax
    with pytest.raises(ValueError, match="killed by SIGABRT with tflite-micro.*No file"):
        export(model, tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quantize", ["float16", "int8_weights", "dynamic"])
def test_arithmetic_that_tflite_micro_has_not_is_refused(quantize, tmp_path):
    with pytest.raises(ValueError, match="`quantize` must be None or 'int8'.*Received"):
        to_tflite(
            dense_layers(4), tmp_path / "m.tflite", target="microcontroller", quantize=quantize
        )


def test_without_the_package_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(micro, "is_installed", lambda: False)
    with pytest.raises(ValueError, match="pip install tflite-micro"):
        export(dense_layers(4), tmp_path / "m.tflite")


def test_encoded_files_can_be_read_and_linted(tmp_path):
    path = tmp_path / "m.tflite"
    report = export(dense_layers(128, 96), path)
    found = lint(path, target="microcontroller")
    assert found.defects == () and found.layers == report.coverage.layers
    assert [layer.sparsity > 0.8 for layer in found.layers] == [True, True]
    assert "CUSTOM TFLM_DECODE v1" in inspect_tflite(path).operators
