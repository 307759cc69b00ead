"""Of twenty architectures: "size" is the smallest file, and fewer bits make none larger."""

import numpy as np
import pytest

from tests.support.export import architectures
from tests.support.export.architectures import ARCHITECTURES, pruned
from tfprune.export.builder import build
from tfprune.export.convert import converter, copies, signature
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
        assert lengths["size"] <= found[None]["size"] < len(dense.content)


@pytest.mark.parametrize("quantize", ["dynamic", "int8"])
@pytest.mark.parametrize("builder", IN_INTEGERS, ids=lambda builder: builder.__name__)
def test_size_is_the_smallest_in_integer_arithmetic(builder, quantize):
    model = pruned(builder, block=16)
    signed = signature.signature_of(model)
    source = copies.unrolled(model, signed) if quantize == "int8" else model
    stored = converter.convert(source, signed, quantize=quantize, representative=examples(signed))
    lengths = sizes(stored, quantize)
    assert lengths["size"] == min(lengths.values()) <= len(stored.content)
