"""The warning of prune where a target would compute the zeros too, and the gates behind it."""

import re
import warnings

import numpy as np
import pytest
from keras import Input, Sequential, layers

import tfprune
from tests.support.export.target_models import image_model
from tfprune.export.encode import costs
from tfprune.targets.structures import TargetStructures
from tfprune.targets.target import TARGETS


def warned(model, schedule, target, **options):
    quantize = options.pop("quantize", None)
    structure = tfprune.structures_for(target, quantize=quantize)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "Too few blocks")  # the models are tiny
        tfprune.prune(model, schedule, structure=structure, **options)
    assert len(caught) <= 1
    return str(caught[0].message) if caught else ""


def test_one_warning_names_what_stays_under_its_gate():
    message = warned(image_model(), tfprune.OneShot(0.6), "wasm")
    assert "'wasm'" in message and "some zeros will save space but no time" in message
    assert re.search("1x1 convolutions .'.*/pointwise/kernel', '.*separable/pointwise_ker", message)
    assert "at 60.0% together and need more than 66.7%" in message
    assert "/classes/kernel' is at 60.0% and needs 86%" in message
    assert "spatial" not in message and "stem" not in message


@pytest.mark.parametrize(
    "schedule, target, options",
    [
        (tfprune.OneShot(0.9), "wasm", {}),
        (tfprune.OneShot(0.83), "x86", {}),
        (tfprune.OneShot(0.5), "size", {}),
        (tfprune.OneShot(0.5), "wasm", {"rules": [(".*kernel", None), ("stem/.*", 0.5)][::-1]}),
        (lambda step: 0.5, "wasm", {}),
        (tfprune.OneShot(0.9), "x86", {"quantize": "dynamic"}),
        (tfprune.OneShot(0.7), "arm64", {"quantize": "int8_weights"}),
    ],
)
def test_no_warning_where_the_gates_are_passed_or_there_are_none(schedule, target, options):
    assert warned(image_model(), schedule, target, **options) == ""


def test_the_gate_of_1x1_convolutions_counts_all_of_them_together():
    half = tfprune.OneShot(0.9)
    low = ("pointwise/.*", 0.5)  # (8 * 16 * 0.5 + 16 * 16 * 0.9) / 384 = 0.767
    assert warned(image_model(), half, "wasm", rules=[low]) == ""
    dense = ("separable/.*", None)  # 8 * 16 * 0.9 / 384 = 0.3
    assert "at 30.0% together" in warned(image_model(), half, "arm64", rules=[dense])


def test_int8_leaves_only_blocks_a_gate():
    wide = Sequential([Input((32,)), layers.Dense(24, name="a"), layers.Dense(3)])
    message = warned(wide, tfprune.OneShot(0.6), "x86", quantize="int8")
    assert "/a/kernel' is at 60.0% and needs 99%" in message and "dense" not in message


@pytest.mark.parametrize("target", ["x86", "wasm", "arm64", "auto"])
@pytest.mark.parametrize("quantize, block", [(None, 4), ("int8", 16), ("dynamic", 16), (None, 1)])
def test_the_exporter_takes_its_sparse_kernel_from_the_gate_on(target, quantize, block):
    layer = layers.Dense(1024)
    layer.build((None, 1024 if block > 1 else 1023))
    least = TargetStructures(target, quantize).min_sparsity(layer, layer.kernel)
    random = np.random.default_rng(0)
    for sparsity, sparse in ((least - 0.02, False), (least + 0.01, True)):
        kept = random.random((1024, layer.kernel.shape[0] // block)) >= sparsity
        weight = np.repeat(kept, block, axis=1).astype("int8" if quantize else "float32")
        own = TARGETS[target].costs.reading(weight.nbytes)
        found = costs.fastest_native(weight, own, dynamic=quantize == "dynamic")
        assert (found is not None) == sparse


def test_weights_that_fit_no_cache_together_need_fewer_zeros():
    wide = Sequential([Input((1024,)), *(layers.Dense(1024) for _ in range(3))])
    structure = tfprune.structures_for("x86", quantize="int8")
    alone = [structure.min_sparsity(layer, layer.kernel) for layer in wide.layers]
    assert alone == [0.99] * 3 and structure.gates(wide) == [0.87] * 3
    assert warned(wide, tfprune.OneShot(0.9), "x86", quantize="int8") == ""
