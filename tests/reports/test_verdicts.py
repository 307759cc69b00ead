"""What reports say first: five lines, what matters most, and why layers stayed dense."""

import keras
import numpy as np

import tfprune
from tests.support.export.models import zero_out
from tfprune.export import to_tflite


class Unknown(keras.layers.Layer):
    """A layer that nobody registered."""

    def build(self, shape):
        self.own = self.add_weight(shape=(shape[-1], 4), name="own")

    def call(self, inputs):
        return inputs @ self.own


def _deep(count=12):
    stack = [keras.Input((8,))]
    for _ in range(count):
        stack += [keras.layers.Dense(8), keras.layers.BatchNormalization()]
    return keras.Sequential([*stack, Unknown(name="unknown"), keras.layers.Dense(4, name="last")])


def _words(lines):
    return [line.split()[0] for line in lines]


def test_five_lines_of_verdict_come_first_and_asked_stands_beside_achieved():
    pruned = tfprune.prune(_deep(), tfprune.OneShot(0.75), rules=[("last/.*", None)])
    found = tfprune.report(pruned, verbose=False)
    lines = str(found).splitlines()
    assert _words(lines[1:6]) == ["sparsity", "parameters", "bytes", "speed-up", "next"]
    assert "asked 75.00%, achieved 0.00%" in lines[1] and "train on" in lines[5]
    assert "Not as asked: asked 0.75, has 0" in str(found)
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD()).begin()
    found = tfprune.report(pruned, verbose=False)
    lines = str(found).splitlines()
    assert "asked 75.00%, achieved 75.00%" in lines[1] and "strip_pruning" in lines[5]
    assert found.shortfall == "" and "Not as asked" not in str(found)
    row = next(line for line in lines if "/kernel" in line)
    assert row.split()[-2:] == ["75.00%", "75.00%"]


def test_layers_left_dense_on_purpose_are_told_apart_from_failures_without_long_lists():
    pruned = tfprune.prune(_deep(), tfprune.OneShot(0.75), rules=[("last/.*", None)])
    found = tfprune.report(pruned, verbose=False)
    lines = str(found).splitlines()
    by_start = {line.split(":")[0]: line for line in lines if ": " in line}
    assert "unknown: Unknown is unknown" in by_start["Could not be pruned"]
    assert by_start["Dense on purpose, by a rule"].endswith("/last/kernel")
    assert " and 10 more: BatchNormalization has only small" in by_start["Dense on purpose"]
    assert [skip.layer for skip in found.skipped if skip.failed] == ["unknown"]
    assert sum("8 x 8" in line for line in lines) == 10
    assert found.table().count("BatchNormalization has only") == 12
    assert "3 smaller weights are not shown. All of it: .table(), or --all" in lines[-1]


def test_an_export_report_opens_with_five_lines_and_shows_ten_layers(tmp_path):
    stack = [keras.Input((64,)), *(keras.layers.Dense(64) for _ in range(12))]
    model = zero_out(keras.Sequential(stack), 0.9, block=4)
    told = to_tflite(model, tmp_path / "model.tflite", target="x86")
    lines = str(told).splitlines()
    assert _words(lines[1:6]) == ["size", "sparse", "speed", "difference", "next"]
    assert f"{told.dense_bytes:,} bytes dense -> {told.bytes:,}" in lines[1]
    assert f"{told.compression_rate:.2f} times smaller" in lines[1]
    assert f"{told.coverage.sparse_share:.1%} of the multiply-adds" in lines[2]
    assert "not measured" in lines[3] and f"{told.largest_difference:.1e}" in lines[4]
    assert sum("64x64" in line for line in lines) == 10
    assert "2 smaller layers are not shown" in lines[-1]
    assert sum("64x64" in line for line in told.table().splitlines()) == 24


def test_advice_follows_from_what_was_found(tmp_path):
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16)])
    dense = str(to_tflite(model, tmp_path / "dense.tflite")).splitlines()
    assert "as large" in dense[1] and "expected as that of the dense file" in dense[3]
    assert "prune the model first" in dense[5]
    assert "tfprune.prune(model, 0.8)" in str(tfprune.report(model, verbose=False))
    model.set_weights([np.zeros((16, 16)), np.ones(16)])
    assert "zeros take no space in the file of tfprune.export.to_tflite" in str(
        tfprune.report(model, verbose=False)
    )
