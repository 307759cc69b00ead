"""Compression rate, space saving and speed-up: the ratios, their limits, and where they appear."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfprune
from tfprune.export import to_tflite
from tfprune.reports.measures import compression_rate, formulas, space_saving, speed_up


def test_measures_by_hand():
    assert compression_rate(10, 4) == 2.5 and space_saving(10, 4) == 0.6
    assert compression_rate(4, 10) == 0.4 and space_saving(4, 10) == -1.5
    assert speed_up(3.0, 1.5) == 2.0 and speed_up(1.5, 3.0) == 0.5


def test_nothing_left_is_infinite_compression_and_nothing_there_is_none():
    assert compression_rate(10, 0) == math.inf and space_saving(10, 0) == 1.0
    assert compression_rate(0, 0) == 1.0 and space_saving(0, 0) == 0.0


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_space_saving_follows_from_the_compression_rate(a, a_star):
    assert space_saving(a, a_star) == pytest.approx(1 - 1 / compression_rate(a, a_star))


def test_numpy_numbers_are_taken_and_floats_returned():
    for value in (
        compression_rate(np.int64(8), np.int32(2)),
        space_saving(np.float32(8), 2),
        speed_up(np.float64(8), 2),
    ):
        assert type(value) is float


@pytest.mark.parametrize("measure", [compression_rate, space_saving])
@pytest.mark.parametrize(
    ("a", "a_star", "error", "found"),
    [
        (-1, 2, ValueError, "`a` must be a size >= 0 and finite. Received: a=-1."),
        (2, -1, ValueError, "`a_star` must be a size >= 0 and finite. Received: a_star=-1."),
        (math.inf, 1, ValueError, "`a` must be a size"),
        (1, math.nan, ValueError, "`a_star` must be a size"),
        (0, 3, ValueError, "`a` must be > 0 where `a_star` is: .* Received: a=0, a_star=3."),
        ("8", 2, TypeError, "`a` must be a number, a size. Received: a='8' .of type str"),
        (8, True, TypeError, "`a_star` must be a number, a size. Received: a_star=True"),
    ],
)
def test_wrong_sizes_are_refused(measure, a, a_star, error, found):
    with pytest.raises(error, match=found):
        measure(a, a_star)


@pytest.mark.parametrize(
    ("s", "s_star", "error", "found"),
    [
        (0.0, 1.0, ValueError, "`s` must be a running time > 0 and finite. Received: s=0.0."),
        (1.0, 0, ValueError, "`s_star` must be a running time > 0 and finite. Received: s_star=0."),
        (1.0, math.inf, ValueError, "`s_star` must be a running time"),
        (math.nan, 1.0, ValueError, "`s` must be a running time"),
        (None, 1.0, TypeError, "`s` must be a number, a running time. Received: s=None"),
    ],
)
def test_wrong_times_are_refused(s, s_star, error, found):
    with pytest.raises(error, match=found):
        speed_up(s, s_star)


def test_every_report_has_the_measures_and_says_what_was_counted(tmp_path):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="dense")])
    data = np.random.default_rng(0).normal(size=(32, 8)).astype("f"), np.ones((32, 4), "f")
    pruned, told = tfprune.one_shot(model, 0.5, "magnitude", data, "mse", verbose=False)
    plain = tfprune.strip_pruning(pruned)
    whole = tfprune.report(plain, verbose=False).to_dict()
    shown = {**whole["parameters"], "speed_up": whole["speed_up"], "formulas": whole["formulas"]}
    exported = to_tflite(plain, tmp_path / "model.tflite").to_dict()
    for found in (shown, told.to_dict(), exported):
        assert found["compression_rate"] > 0 and found["space_saving"] <= 1
        assert found["speed_up"] is None  # none of them times anything
        counted = found["formulas"]["compression_rate"].split(" / ")
        assert len(counted) == 2 and not {"a", "a*"} & set(counted)
        assert found["formulas"]["space_saving"].startswith("1 - ")
        assert found["formulas"]["speed_up"].startswith("not measured")


def test_an_export_compares_the_file_with_the_dense_one_and_claims_no_speed(tmp_path):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(256), keras.layers.Dense(64)])
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * (np.arange(kernel.size).reshape(kernel.shape) % 10 == 0), bias])
    path = tmp_path / "model.tflite"
    report = to_tflite(model, path, quantize="float16", target="size")
    a, a_star = report.dense_bytes, path.stat().st_size
    assert report.compression_rate == a / a_star > 4
    assert report.space_saving == (a - a_star) / a > 0.75
    assert report.gzip_compression_rate == report.dense_gzip_bytes / report.gzip_bytes
    values, lines = report.to_dict(), [line.strip() for line in report.table().splitlines()]
    assert values["speed_up"] is None and "not measured" in values["formulas"]["speed_up"]
    for name in ("compression_rate", "space_saving", "gzip_compression_rate", "gzip_space_saving"):
        assert values[name] == getattr(report, name)
        assert "bytes of the dense float32 file" in values["formulas"][name]
    assert lines[2].split()[-2:] == [f"{a:,}", f"{report.dense_gzip_bytes:,}"]
    assert lines[3].startswith("file written, float16")
    assert lines[4].split()[-2:] == [f"{a / a_star:.2f}", f"{report.gzip_compression_rate:.2f}"]
    assert lines[5].split()[-2:] == [f"{1 - a_star / a:.2%}", f"{report.gzip_space_saving:.2%}"]
    assert lines[6].startswith("speed-up: not measured")
    assert report.table().count("a / a*") == 1 and "a / a*" not in str(report)


def test_formulas_name_both_counts():
    assert formulas("apples", "eaten apples") == {
        "compression_rate": "apples / eaten apples",
        "space_saving": "1 - eaten apples / apples",
    }
