"""What tflite-micro cannot run is known without running it, and is what it refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.support.export.tflite_files import custom, linear
from tfprune.export.encode import layouts
from tfprune.export.encode.micro.insertion import encode_model
from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import TYPES, subgraphs
from tfprune.export.predict import micro as micro_lint
from tfprune.export.predict.linting import coverage
from tfprune.export.run import micro
from tfprune.targets.target import TARGETS

MICRO = TARGETS["microcontroller"]

# Loads a file with each operator, of which all but the name is wrong, and tells which it knows. A
# kernel that it has may crash on that, so each has a process.
PROBE = """
import json, os
from tests.support.export.tflite_files import lone
from tfprune.export.file import flatbuffer
from tfprune.export.run import micro_child
module, known = micro_child._loaded(), []
for code, name in flatbuffer.OPERATOR_NAMES.items():
    process = os.fork()
    if not process:
        try:
            micro_child._interpreter(module, flatbuffer.pack(lone(code)), 1 << 16)
        except RuntimeError as error:
            os._exit("Didn't find op" in str(error))
        os._exit(0)
    if os.waitpid(process, 0)[1] != 1 << 8:
        known.append(name)
print(json.dumps(known))
"""


@pytest.mark.skipif(not micro.is_installed(), reason="needs the tflite-micro package")
def test_the_operators_are_those_of_the_interpreter():
    found = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60
    )
    known = set(json.loads(found.stdout)) - {"CUSTOM", "DELEGATE"}
    known.discard("PLACEHOLDER_FOR_GREATER_OP_CODES")
    assert known == micro_lint.SUPPORTED


def sparse_weight():
    rng = np.random.default_rng(0)
    return np.where(rng.random((32, 128)) < 0.9, 0, rng.random((32, 128))).astype(np.float32)


def test_files_of_every_form_have_the_same_layers():
    model = linear(sparse_weight())
    first, second = (coverage(each, "m", MICRO) for each in (model, encode_model(model)[0]))
    assert first == second and first.defects == ()
    (layer,) = first.layers
    assert layer.kernel == "dense" and "save flash" in layer.blocker
    assert layer.sparsity == np.mean(sparse_weight() == 0)


def test_sparse_tensors_float16_and_mixed_arithmetic_are_defects():
    rows, half, mixed = (linear(sparse_weight()) for _ in range(3))
    encoded = layouts.encode(sparse_weight(), layouts.Layout(last=1))
    subgraphs(rows)[0].tensor(2).sparsity = layouts.parameters(encoded)
    subgraphs(rows)[0].tensor(2).buffer = flatbuffer.add_buffer(rows, encoded.values)
    for model, kind in ((half, np.float16), (mixed, np.int8)):
        tensor = subgraphs(model)[0].tensor(2)
        tensor.buffer = flatbuffer.add_buffer(model, sparse_weight().astype(kind))
        tensor.type = {np.float16: TYPES.FLOAT16, np.int8: TYPES.INT8}[kind]
    for model, expected in ((rows, "sparse tensors"), (half, "no float16"), (mixed, "by int8")):
        (defect,) = coverage(model, "m", MICRO).defects
        assert expected in defect and "export with" in defect


def test_unknown_operators_are_named_with_their_tensor():
    (defect,) = coverage(custom(), "m", MICRO).defects
    assert "no operator CUSTOM Mystery, which the layer 'weight' needs" in defect


def test_firmware_is_told_what_to_register():
    model, _ = encode_model(linear(sparse_weight()))
    assert micro_lint.operators(model) == ("FULLY_CONNECTED", "TFLM_DECODE")


@pytest.mark.parametrize("part", ["codes", "ancillary"])
def test_damaged_codes_are_errors_that_name_the_file(part):
    rng = np.random.default_rng(0)
    for count in (0, 3, 20):
        model, _ = encode_model(linear(sparse_weight()))
        graph = subgraphs(model)[0]
        decoder = graph.operators[0]
        tensor = graph.tensor(decoder.inputs[int(part == "ancillary")])
        tensor.buffer = flatbuffer.add_buffer(model, rng.integers(3, 255, count).astype(np.uint8))
        with pytest.raises(ValueError, match="'m'.*damaged|damaged.*'m'"):
            coverage(model, "m", MICRO)


def test_fuzzed_files_are_read_or_refused_with_one_error():
    rng = np.random.default_rng(0)
    content = flatbuffer.pack(encode_model(linear(sparse_weight()))[0])
    refused = 0
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.integers(8, len(content), 10):
            damaged[place] = rng.integers(256)
        try:
            coverage(flatbuffer.parse(bytes(damaged), "m"), "m", MICRO)
        except ValueError as error:
            refused += 1
            assert "Received: path='m'" in str(error)
    assert 0 < refused < 100
