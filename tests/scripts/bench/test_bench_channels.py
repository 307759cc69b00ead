"""scripts/bench/channels.py and channel_files.py, on small models."""

import json
import shlex

import keras
import pytest
from keras import layers

from scripts.bench import channel_files, channels
from scripts.readme import channels_tables
from tfprune.export.run import wasm


def small():
    """A convolutional classifier with logits."""
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(32, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(32, 1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ]
    )


def content(file):
    return json.loads(file.read_text())


def test_seconds_of_plan_and_surgery_are_measured_beside_those_of_keras(tmp_path, monkeypatch):
    monkeypatch.setattr(channels, "network", lambda name: small())
    file = tmp_path / "results.json"
    arguments = ["--networks", "MobileNetV2", "--chains", "3", "--rounds", "1", "--out", str(file)]
    assert channels.main(arguments) == 0
    network, chain = content(file)["records"]
    assert network["difference"] < 1e-5 and network["exact"] is True and chain["layers"] == 4
    for record in (network, chain):
        assert all(record[f"{part}_cpu_seconds"] >= 0 for part in channels.PARTS)
        assert record["multiply_adds"][1] < record["multiply_adds"][0]
    _, _, _, *rest = shlex.split(content(file)["command"])
    parsed = channels.parse(rest)
    assert (parsed.networks, parsed.chains, parsed.rounds) == (["MobileNetV2"], [3], 1)
    monkeypatch.setattr(channels, "measured", None)
    assert channels.main(arguments) == 0  # computes nothing
    _, rows, about = channels_tables.seconds(content(file))
    assert [row[0] for row in rows] == ["MobileNetV2", "chain of 3"] and "`python -m" in about


def test_a_goal_that_was_missed_is_called_so(tmp_path):
    record = {"method": "ResNet50", "layers": 2}
    record |= {
        f"{part}_{kind}": 1.1 for part in channels.PARTS for kind in ("seconds", "cpu_seconds")
    }
    run = {
        "records": [record],
        "goals": channels.GOALS,
        "elsewhere": channels.ELSEWHERE,
        "settings": {"rounds": 1},
        "machine": {"cores": 2, "processor": "x86_64"},
        "command": "it",
        "versions": {},
    }
    assert "2.20, **missed**" in channels_tables.seconds(run)[1][0]
    record["plan_cpu_seconds"] = 0.8
    assert "1.90" in channels_tables.seconds(run)[1][0]


@pytest.mark.parametrize("half", [False, True])
def test_a_variant_has_the_channels_and_the_zeros_that_it_is_said_to_have(half):
    model = channel_files.variant(small, half, True, False, target="wasm")
    first, second = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert (first.filters, second.filters) == ((16, 16) if half else (32, 32))
    kernel = second.kernel.numpy()
    assert (kernel == 0).mean() == pytest.approx(channel_files.ZEROS, abs=0.03)


def test_every_combination_is_exported_and_timed_beside_the_dense_file(tmp_path, monkeypatch):
    if not wasm.is_installed():
        monkeypatch.setattr(channel_files, "TARGETS", {"native": "x86"})
    found = channel_files.measure(small, [(False, False, False), (True, False, False)], 2)
    for runtime in channel_files.TARGETS:
        dense, cut = [file for file in found["files"] if file["runtime"] == runtime]
        assert dense["name"] == "dense" and cut["name"] == "channels"
        assert dense["ratio"] == 1.0 and cut["bytes"] < dense["bytes"] and cut["median_ms"] > 0
    assert found["keras"]["ratio"] > 0 and len(found["keras"]["median_ms"]) == 2
    assert found["parameters"][1] < found["parameters"][0]


def test_a_wrong_argument_is_one_line(capsys):
    for program in (channels, channel_files):
        with pytest.raises(SystemExit) as stop:
            program.main(["--networks", "AlexNet"])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and "AlexNet" in error and error.count("\n") == 1
