"""Reading, damaging, inspecting and timing .tflite files."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from tfprune.export import benchmark, inspect_tflite, to_tflite
from tfprune.export.encode import plans, sparse
from tfprune.export.file import flatbuffer


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One model at 90 % in 1x4 blocks, dense and sparse."""
    folder = tmp_path_factory.mktemp("files")
    model = keras.Sequential([keras.Input((512,)), layers.Dense(512), layers.Dense(10)])
    kernel = model.layers[0].kernel
    kept = np.random.default_rng(0).random((128, 512)) < 0.1
    kernel.assign(kernel.numpy() * np.repeat(kept, 4, axis=0))
    paths = {name: str(folder / f"{name}.tflite") for name in ("dense", "sparse")}
    for name, path in paths.items():
        to_tflite(model, path, sparse=name == "sparse")
    return paths


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_packed_model_parses_to_the_same_bytes(kind, files):
    model, content = flatbuffer.read(files[kind])
    assert flatbuffer.pack(model) == content


def test_weights_lie_on_16_byte_boundaries(files):
    model, content = flatbuffer.read(files["dense"])
    largest = max((buffer.data for buffer in model.buffers if buffer.data is not None), key=len)
    assert content.index(largest.tobytes()) % 16 == 0


def test_a_file_cut_anywhere_is_one_error(files, tmp_path):
    _, content = flatbuffer.read(files["sparse"])
    path = tmp_path / "cut.tflite"
    for length in [*range(0, 64, 7), *np.linspace(64, len(content) - 64, 60).astype(int)]:
        path.write_bytes(content[:length])
        for reader in (inspect_tflite, lambda name: benchmark({"cut": name})):
            with pytest.raises(ValueError, match="`path` must name a.*cut.tflite"):
                reader(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04 a zip archive, as .keras files are", "39 bytes, beginning b'PK"),
        (b"\x1c\x00\x00\x00TFL3", "truncated or damaged"),
        (b"\xff\xff\xff\xffTFL3" + bytes(100), "truncated or damaged"),
    ],
)
def test_a_foreign_file_is_one_error_that_says_what_was_found(content, found, tmp_path):
    path = tmp_path / "foreign.tflite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=found) as error:
        inspect_tflite(path)
    assert repr(str(path)) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_one_error(tmp_path):
    with pytest.raises(ValueError, match="`path` must name a readable TFLite file"):
        inspect_tflite(tmp_path / "missing.tflite")


def test_inspection_counts_operators_tensors_and_nonzeros(files):
    dense, small = inspect_tflite(files["dense"]), inspect_tflite(files["sparse"])
    assert dense.sparse_tensors == () and len(small.sparse_tensors) == 1
    assert small.bytes < 0.3 * dense.bytes and small.gzip_bytes < dense.gzip_bytes
    assert small.operators == {"FULLY_CONNECTED v1": 1, "FULLY_CONNECTED v8": 1}
    assert sum(small.operators.values()) == sum(dense.operators.values())
    (tensor,) = small.sparse_tensors
    assert tensor.encoding == "block 4" and tensor.shape == (512, 512)
    assert tensor.nonzeros == dense.constants[0].nonzeros
    assert tensor.sparsity == pytest.approx(0.9, abs=0.02)
    assert json.loads(json.dumps(small.to_dict()))["constants"][0]["encoding"] == "block 4"
    assert "FULLY_CONNECTED v8" in str(small)


def test_one_encoding_costs_less_than_its_counted_overhead(files):
    model, content = flatbuffer.read(files["dense"])
    encoded, (entry,) = sparse.encode_model(model)
    counted = len(content) - entry.dense_bytes + entry.encoded_bytes
    assert counted < len(flatbuffer.pack(encoded)) <= counted + plans.WALK_BYTES


def test_encoding_twice_changes_nothing(files):
    model, content = flatbuffer.read(files["sparse"])
    encoded, entries = sparse.encode_model(model)
    assert flatbuffer.pack(encoded) == content and entries == ()


def test_a_benchmark_reports_every_file_against_the_first(files):
    timings = benchmark(files, runs=20, warmup=2)
    assert [timing.name for timing in timings] == ["dense", "sparse"]
    assert timings[0].ratio == 1.0 and timings[1].ratio > 0
    for timing in timings:
        assert 0 < timing.p10_ms <= timing.median_ms <= timing.p90_ms
        assert timing.cpu_ms > 0 and timing.load_ms > 0
        assert (timing.runs, timing.threads, timing.runtime) == (20, 1, "native")
    assert json.loads(json.dumps(timings[0].to_dict()))["bytes"] == timings[0].bytes


@pytest.mark.parametrize(
    ("options", "error"),
    [({"runs": 0}, ValueError), ({"threads": 1.5}, TypeError), ({"warmup": -1}, ValueError)],
)
def test_a_benchmark_refuses_bad_numbers(options, error, files):
    with pytest.raises(error, match="`(runs|threads|warmup)` must be"):
        benchmark(files, **options)


def test_a_benchmark_needs_a_file(files):
    with pytest.raises(TypeError, match="`paths` must be a file"):
        benchmark(files["dense"].encode())
    with pytest.raises(ValueError, match="at least one"):
        benchmark({})
