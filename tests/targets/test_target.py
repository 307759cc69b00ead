"""A target is one entry: what is written there is all that decides."""

import dataclasses
import json

import pytest
from keras import layers

import tfprune
from scripts.bench.fully_connected import __main__ as fully_connected
from scripts.lab.folders import RESULTS
from tfprune.export.convert import requirements
from tfprune.sparsity.structures import Block, Unstructured
from tfprune.targets import structures, target
from tfprune.targets.target import LINTED, MACHINES, TARGETS, require_target


def test_names_are_the_keys_and_kernels_are_those_of_a_machine():
    assert all(name == each.name for name, each in TARGETS.items())
    assert all(each.kernels_of in LINTED for each in TARGETS.values())
    assert set(MACHINES) == {"arm64", "wasm", "x86"}


@pytest.mark.parametrize(
    ("name", "structure", "expected"),
    [
        ("x86", Block(4, 1), 0.82),  # 1 - (0.9 * 0.0335 - 0.882 / 1024) / 0.16 = 0.817
        ("x86", Block(16, 1), 0.99),  # 1 - (0.9 * 0.00775 - 4.47 / 1024) / 0.19 = 0.986
        ("arm64", Block(16, 1), 0.96),  # 1 - (0.9 * 0.0101 - 5.02 / 1024) / 0.0842 = 0.950
        ("wasm", Unstructured(), 0.94),  # 1 - (0.9 * 0.066 + 0.17 / 1024) / 0.938 = 0.936
        ("size", Unstructured(), 0.0),
    ],
)
def test_sparse_kernels_pay_where_their_costs_say(name, structure, expected):
    assert TARGETS[name].pays_from(structure) == expected


def test_a_new_target_is_known_everywhere_by_its_entry(monkeypatch):
    made = dataclasses.replace(TARGETS["x86"], name="riscv", kernels_of="riscv", block=8)
    monkeypatch.setitem(target.TARGETS, "riscv", made)
    layer = layers.Dense(3)
    layer.build((None, 16))
    chosen = structures.structures_for("riscv")
    assert chosen.for_weight(layer, layer.kernel) == Block(8, 1)
    options = {
        "path": "model.tflite",
        "target": "riscv",
        "quantize": None,
        "representative_data": None,
        "unroll": False,
        "sparse": True,
    }
    requirements.check_options(**options, lower_conv3x3=False, batch_size=None, arena_bytes=None)
    with pytest.raises(ValueError, match="`lower_conv3x3` must be False"):
        requirements.check_options(**options, lower_conv3x3=True, batch_size=1, arena_bytes=None)


@pytest.mark.parametrize(
    "device, target",
    [("phone", "arm64"), ("android", "arm64"), ("ios", "arm64"), ("browser", "wasm")],
)
def test_a_device_stands_for_its_target(device, target):
    assert tfprune.structures_for(device) == tfprune.structures_for(target)
    assert require_target(device) == target


def test_an_unknown_device_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="'microcontroller', 'phone'.*Received: target='toaster'"):
        require_target("toaster")


def test_weights_beyond_the_cache_pay_sooner():
    x86, blocks = TARGETS["x86"], TARGETS["x86"].integer_matrices
    assert x86.pays_from(blocks, nbytes=2**21) == x86.pays_from(blocks) == 0.99
    assert x86.pays_from(blocks, nbytes=2**21 + 1) == 0.87  # 1 - (.9 * .0378 - 4.47 / 1024) / .22


def test_int8_costs_of_arm64_are_the_instructions_that_were_counted():
    counted = json.loads((RESULTS / "arm64_kernels.json").read_text())["instructions"]
    costs = TARGETS["arm64"].costs
    nanoseconds = costs.dense.first / counted["float32 dense"]["stored"]
    sparse = counted["int8 1x16"]
    expected = [counted["int8 dense"]["stored"], sparse["stored"], sparse["outputs"]]
    int8 = costs.int8
    found = [int8.dense.further, int8.blocks.further, int8.blocks.output]
    assert found == pytest.approx([nanoseconds * each for each in expected], rel=0.01)
    assert int8.dense.first == int8.dense.further and int8.blocks.first == int8.blocks.further


@pytest.mark.parametrize("name, runtime", [("x86", "native"), ("wasm", "wasm")])
def test_costs_are_those_that_were_fitted(name, runtime):
    fitted = json.loads(fully_connected.OUT.read_text())["costs"]
    costs = TARGETS[name].costs
    kernels = {
        "float32 dense": costs.dense,
        "float32 rows": costs.rows,
        "float32 1x4": costs.blocks,
        "int8 dense": costs.int8.dense,
        "int8 1x16": costs.int8.blocks,
        "dynamic dense": costs.dynamic.dense,
        "dynamic 1x16": costs.dynamic.blocks,
    }
    for kernel, own in kernels.items():
        found = fitted[f"{runtime}, {kernel.split()[0]}"][kernel]
        for term in ("first", "further", "output"):
            assert getattr(own, term) == pytest.approx(found[term], rel=0.01, abs=0.001)


def test_dynamic_files_have_gates_of_their_own():
    assert TARGETS["arm64"].pays_from(Block(16, 1), dynamic=True) == 0.88
    assert tfprune.structures_for("arm64", quantize="dynamic").min_sparsity(*dense()) == 0.88
    assert tfprune.structures_for("arm64", quantize="int8").min_sparsity(*dense()) == 0.96
    assert tfprune.structures_for("arm64", quantize="int4").min_sparsity(*dense()) == 0.0


def dense():
    """A layer, and its kernel."""
    layer = layers.Dense(3)
    layer.build((None, 32))
    return layer, layer.kernel
