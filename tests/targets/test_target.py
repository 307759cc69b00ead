"""A target is one entry: what is written there is all that decides."""

import dataclasses

import pytest
from keras import layers

import tfprune
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
        ("x86", Block(4, 1), 0.82),  # 1 - 0.06 / 0.33 = 0.818
        ("arm64", Block(16, 1), 0.89),  # 1 - 0.02 / 0.18 = 0.889
        ("wasm", Unstructured(), 0.93),  # 1 - 0.135 / 1.8 = 0.925
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
