"""Damaged .tflite files: reading them gives a result or one ValueError, running them too."""

import keras
import numpy as np
import pytest
from keras import layers

from tfprune.export import benchmark, inspect_tflite, to_tflite
from tfprune.export.run import runtime

WORDS = (0, 1, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MUTATIONS = 100
CUTS = 50
RUNS = 4


def blocked(model):
    """Zero nine of ten blocks of four along the inputs of every kernel."""
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if len(weight.shape) == 2:
            kept = np.repeat(rng.random((weight.shape[0] // 4, weight.shape[1])) < 0.1, 4, axis=0)
            weight.assign(weight.numpy() * kept)
    return model


def mlp():
    return keras.Sequential([keras.Input((96,)), layers.Dense(96), layers.Dense(8)])


def lstm():
    return keras.Sequential([keras.Input((3, 16)), layers.LSTM(24), layers.Dense(4)])


MODELS = {"dense": mlp, "sparse": lambda: blocked(mlp()), "lstm": lambda: blocked(lstm())}


@pytest.fixture(scope="module", params=MODELS)
def content(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "model.tflite"
    to_tflite(MODELS[request.param](), path)
    return path.read_bytes()


def mutated(content, rng):
    """The content after one to three bytes, words or runs of bytes have changed."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        kind, place = rng.integers(4), int(rng.integers(len(changed)))
        if kind == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[place] = int(rng.integers(256))
        elif kind == 2:
            place = place // 4 * 4
            changed[place : place + 4] = int(rng.choice(WORDS)).to_bytes(4, "little")
        else:
            length, source = int(rng.integers(1, 64)), int(rng.integers(len(changed)))
            changed[place : place + length] = changed[source : source + length]
    return bytes(changed)


def attempt(function, path):
    """Whether a function of a path succeeds; its only other way out is one clear ValueError."""
    try:
        function(path)
    except ValueError as error:
        assert str(error).startswith("`path` must name a"), error
        assert repr(str(path)) in str(error) and "\n" not in str(error)
        return False
    return True


def test_reading_a_damaged_file_gives_a_result_or_one_error(content, tmp_path):
    rng = np.random.default_rng(0)
    cuts = [content[: len(content) * part // CUTS] for part in range(CUTS)]
    path = tmp_path / "damaged.tflite"
    outcomes = []
    for damaged in cuts + [mutated(content, rng) for _ in range(MUTATIONS)]:
        path.write_bytes(damaged)
        outcomes.append(attempt(lambda name: str(inspect_tflite(name)), path))
    assert not any(outcomes[: CUTS // 2])
    assert {True, False} == set(outcomes)


def test_running_a_damaged_file_gives_a_result_or_one_error(content, tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "damaged.tflite"
    for run in range(RUNS):
        path.write_bytes(mutated(content, rng))
        attempt(runtime.load, path)
        if run == 0:
            attempt(lambda name: benchmark({"damaged": name}, runs=2), path)
