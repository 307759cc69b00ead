"""Reports: what is counted, how it is shown, and that files are whole or not there."""

import io
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import tfprune
from tfprune.reports import storage, tables
from tfprune.reports.pages import model_page


def page_of(report):
    """The HTML page of a report, as text."""
    return model_page.page(
        report.model, report.weights, report.notable_skips, report.prunable, report.parameters
    )


def _pruned_now(model, sparsity=0.5, **options):
    pruned = tfprune.prune(model, tfprune.OneShot(sparsity), **options)
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD()).begin()
    return pruned


def _model():
    layers = [
        keras.Input((8,)),
        keras.layers.Dense(16, name="first"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.ReLU(name="relu"),
        keras.layers.Dense(4, name="last"),
    ]
    return keras.Sequential(layers, name="small")


def test_bit_mask_takes_one_bit_an_entry_and_the_values():
    nonzero = np.zeros((3, 3), bool)
    nonzero[0, 1] = nonzero[2, 2] = True
    assert storage.bitmask_bytes(nonzero, 4) == 2 + 2 * 4
    assert storage.bitmask_bytes(nonzero, 2) == 2 + 2 * 2


@pytest.mark.parametrize(
    "zeros, stored", [(0, 1), (31, 1), (32, 2), (63, 2), (64, 3), (1000, 1 + 31)]
)
def test_csr_bridges_every_32_zeros_with_a_stored_zero(zeros, stored):
    nonzero = np.array([False] * zeros + [True])
    assert storage.csr_bytes(nonzero, 4) == -(-stored * 5 // 8) + 4 * stored


def test_csr_takes_nothing_for_zeros_at_the_end_or_everywhere():
    assert storage.csr_bytes(np.array([True] + [False] * 5000), 4) == 1 + 4
    assert storage.csr_bytes(np.zeros(5000, bool), 4) == 0


def test_csr_counts_runs_across_chunks(monkeypatch):
    nonzero = np.random.default_rng(0).random(4000) < 0.02
    whole = storage.csr_bytes(nonzero, 4)
    monkeypatch.setattr(storage, "_CHUNK", 7)
    assert storage.csr_bytes(nonzero, 4) == whole


def test_plain_model_counts_by_hand():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    model.set_weights([np.eye(4, 3, dtype="float32"), np.array([0.0, 1.0, 2.0], "float32")])
    found = tfprune.report(model, verbose=False)
    (weight,) = found.weights
    assert (weight.layer, weight.shape, weight.size, weight.nonzeros) == ("dense", (4, 3), 12, 3)
    assert weight.sparsity == 0.75
    assert (weight.dense_bytes, weight.bitmask_bytes, weight.csr_bytes) == (48, 14, 14)
    assert (found.parameters.size, found.parameters.nonzeros) == (15, 5)
    assert found.parameters.dense_bytes == 60 and found.parameters.bitmask_bytes == 14 + 12
    assert found.prunable.compression_rate == 4.0
    assert found.prunable.space_saving == (48 - 14) / 48
    assert found.prunable.bitmask_compression_rate == 48 / 14
    assert found.prunable.csr_compression_rate == 48 / 14
    assert found.parameters.csr_space_saving == (60 - 26) / 60
    assert found.parameters.sparsity == (15 - 5) / 15


def test_pruned_and_stripped_models_report_the_same():
    pruned = _pruned_now(_model(), rules=[("last/.*", None)])
    before = tfprune.report(pruned, verbose=False).to_dict()
    after = tfprune.report(tfprune.strip_pruning(pruned), verbose=False).to_dict()
    assert [entry.pop("masked") for entry in before["weights"]] == [True, False]
    assert [entry.pop("masked") for entry in after["weights"]] == [False, False]
    assert [entry.pop("asked") for entry in before["weights"]] == [0.5, None]
    assert [entry.pop("asked") for entry in after["weights"]] == [None, None]
    assert (before.pop("asked"), after.pop("asked")) == (0.5, None)
    assert before == after
    assert before["prunable"]["nonzeros"] == 64 + 64


def test_masked_values_count_as_zeros_and_masks_as_nothing():
    model = _model()
    found = tfprune.report(_pruned_now(model), verbose=False)
    assert found.parameters.size == model.count_params()
    assert found.prunable.nonzeros == (8 * 16 + 16 * 4) // 2


def test_shared_layers_and_tied_weights_count_once():
    inputs = keras.Input((6,))
    shared = keras.layers.Dense(6, name="shared")
    model = keras.Model(inputs, shared(shared(inputs)))
    assert tfprune.report(model, verbose=False).prunable.size == 36
    embedding = keras.layers.ReversibleEmbedding(10, 4, name="tied")
    tokens = keras.Input((3,), dtype="int32")
    model = keras.Model(tokens, embedding(embedding(tokens), reverse=True))
    assert tfprune.report(model, verbose=False).prunable.size == 40
    assert tfprune.report(_pruned_now(model), verbose=False).prunable.nonzeros == 20


def test_half_precision_weights_take_their_own_bytes():
    for policy in ("float16", "bfloat16"):
        layers = [keras.Input((8,)), keras.layers.Dense(4, dtype=policy)]
        (weight,) = tfprune.report(keras.Sequential(layers), verbose=False).weights
        assert (weight.dtype, weight.dense_bytes) == (policy, 64)


def test_skipped_layers_come_with_a_reason_and_only_those_with_weights_are_shown():
    found = tfprune.report(_model(), verbose=False)
    assert [skip.layer for skip in found.skipped] == ["norm", "relu"]
    for text in (str(found), found.table()):
        assert "norm" in text and "BatchNormalization has only small weights" in text
        assert "relu" not in text
    reasons = {skip["layer"]: skip["reason"] for skip in found.to_dict()["skipped"]}
    assert reasons["relu"] == "ReLU has no weights"


def test_model_with_nothing_prunable_is_reported():
    layers = [keras.Input((4,)), keras.layers.BatchNormalization(name="norm")]
    found = tfprune.report(keras.Sequential(layers), verbose=False)
    assert found.weights == () and found.prunable.size == 0
    assert (found.prunable.compression_rate, found.prunable.space_saving) == (1.0, 0.0)
    assert "norm" in str(found) and "There are none" in page_of(found)


def test_weights_of_all_zeros_give_no_infinity_in_json():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([np.zeros((2, 2))])
    found = tfprune.report(model, verbose=False).to_dict()
    assert found["prunable"]["compression_rate"] is None
    assert found["prunable"]["csr_compression_rate"] is None
    assert found["prunable"]["bitmask_compression_rate"] == 16.0
    json.dumps(found, allow_nan=False)


def test_dict_is_json_and_names_every_measure():
    found = tfprune.report(_model(), verbose=False).to_dict()
    assert json.loads(json.dumps(found)) == found
    counts = {"counted", "size", "nonzeros"}
    assert set(found["prunable"]) - counts <= set(found["formulas"])
    for name, formula in found["formulas"].items():
        assert "a*" not in formula and len(formula) > 10, name
    assert found["prunable"]["counted"] == "prunable weights"
    assert found["parameters"]["counted"] == "all parameters"


def test_call_prints_a_table_without_colour_codes_and_verbose_false_prints_nothing(capsys):
    found = tfprune.report(_pruned_now(_model()))
    printed = capsys.readouterr().out
    assert printed.rstrip("\n") == str(found)
    assert "\x1b" not in printed and "first/kernel" in printed and "50.00%" in printed
    tfprune.report(_model(), verbose=False)
    assert capsys.readouterr().out == ""


def test_measures_are_shown_with_what_was_counted():
    found = tfprune.report(_pruned_now(_model()), verbose=False)
    lines = [line.strip() for line in found.table().splitlines()]
    start = next(n for n, line in enumerate(lines) if line.startswith("parameters "))
    total = found.prunable
    for line, (counted, value) in zip(
        lines[start:],
        [
            ("parameters", "192"),
            ("nonzero parameters", "96"),
            ("compression rate", "2.00"),
            ("space saving = sparsity", "50.00%"),
            ("bytes, dense", "768"),
            ("bytes, bit mask + values", "408"),
            ("compression rate", "1.88"),
            ("space saving", "46.88%"),
            ("bytes, CSR with zero counts", f"{total.csr_bytes}"),
            ("compression rate", f"{768 / total.csr_bytes:.2f}"),
            ("space saving", f"{1 - total.csr_bytes / 768:.2%}"),
        ],
        strict=False,
    ):
        assert line.startswith(counted) and line.split()[-2] == value, line


def test_no_speed_is_claimed_where_nothing_was_timed():
    found = tfprune.report(_pruned_now(_model()), verbose=False)
    assert found.to_dict()["speed_up"] is None
    for text in (str(found), found.to_dict()["formulas"]["speed_up"], page_of(found)):
        assert "not measured" in text
    assert found.table().count("s / s*") == 1 and "s / s*" not in str(found)


def test_long_names_are_not_cut_where_output_is_no_terminal():
    name = "a_layer_with_a_long_name_" * 8
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name=name)])
    assert f"{name}/kernel" in str(tfprune.report(model, verbose=False))


def test_markup_in_names_is_shown_as_it_is():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="[red]<b>x")])
    found = tfprune.report(model, verbose=False)
    assert "[red]<b>x/kernel" in str(found)
    assert "[red]&lt;b&gt;x/kernel" in page_of(found)


def test_table_prints_where_the_encoding_has_no_lines():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    tables.show(tfprune.report(_model(), verbose=False), file)
    file.flush()
    assert b"-----" in file.buffer.getvalue()


def test_wrong_models_are_refused():
    with pytest.raises(TypeError, match="`model` must be a keras.Model. Received: model="):
        tfprune.report("model.keras")
    with pytest.raises(ValueError, match="must be built"):
        tfprune.report(keras.Sequential([keras.layers.Dense(2)]))


def test_report_works_on_jax_without_tensorflow(tmp_path):
    script = f"""
import sys, keras, tfprune
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="dense")])
tfprune.report(model).to_html({str(tmp_path / "report.html")!r})
assert "tensorflow" not in sys.modules
pruned = tfprune.prune(model, tfprune.OneShot(0.5))  # Keras's serialization imports it
tfprune.PruningUpdater(pruned, keras.optimizers.SGD()).begin()
assert tfprune.report(pruned, verbose=False).prunable.nonzeros == 4
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert "dense/kernel" in run.stdout
