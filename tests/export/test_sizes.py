"""Of twenty architectures: "size" is the smallest file, and fewer bits make none larger."""

import numpy as np
import pytest

from tests.support.export import architectures
from tests.support.export.architectures import ARCHITECTURES, pruned
from tfprune.export import to_tflite
from tfprune.export.builder import build
from tfprune.export.convert import converter, copies
from tfprune.export.file import signature
from tfprune.targets.target import FLOAT_ARITHMETIC, MACHINES, TARGETS

# One of each kind: the converter calibrates for seconds.
IN_INTEGERS = (
    architectures.perceptron,
    architectures.mobile,
    architectures.text_convolution,
    architectures.keyword_spotter,
    architectures.transformer,
)


def examples(signed):
    rng = np.random.default_rng(0)
    return [
        (
            rng.integers(0, 300, (4, *entry.shape[1:])).astype(np.int32)
            if entry.dtype == "int32"
            else rng.standard_normal((4, *entry.shape[1:])).astype(np.float32)
        )
        for entry in signed.inputs
    ]


def sizes(stored, quantize):
    return {
        name: len(build(stored, target=TARGETS[name], quantize=quantize).content)
        for name in ("size", *MACHINES)
    }


@pytest.mark.parametrize("builder", ARCHITECTURES, ids=lambda builder: builder.__name__)
def test_size_is_the_smallest_of_all_encodings(builder):
    model = pruned(builder)
    signed = signature.signature_of(model)
    dense = converter.convert(model, signed)
    found = {quantize: sizes(dense, quantize) for quantize in FLOAT_ARITHMETIC}
    for lengths in found.values():
        assert lengths["size"] == min(lengths.values())
        assert lengths["size"] < len(dense.content)
        assert all(lengths[name] <= found[None][name] for name in lengths)


@pytest.mark.parametrize("quantize", ["dynamic", "int8"])
@pytest.mark.parametrize("builder", IN_INTEGERS, ids=lambda builder: builder.__name__)
def test_size_is_the_smallest_in_integer_arithmetic(builder, quantize):
    model = pruned(builder, block=16)
    signed = signature.signature_of(model)
    source = copies.unrolled(model, signed) if quantize == "int8" else model
    stored = converter.convert(source, signed, quantize=quantize, representative=examples(signed))
    lengths = sizes(stored, quantize)
    assert lengths["size"] == min(lengths.values()) <= len(stored.content)


@pytest.mark.parametrize("sparsity", [0.0, 0.95])
def test_a_quantized_file_larger_than_the_float32_one_says_so(sparsity, tmp_path):
    model = pruned(architectures.perceptron, sparsity)
    plain = to_tflite(model, tmp_path / "plain.tflite", target="size")
    narrow = to_tflite(model, tmp_path / "narrow.tflite", target="size", quantize="dynamic")
    said = f"larger than without quantization, which takes {plain.bytes:,} bytes"
    assert (narrow.bytes > plain.bytes) == (sparsity > 0)
    assert any(said in note for note in narrow.notes) == (sparsity > 0)
