"""Constants in the encodings of TFLM_DECODE; the decoders here are written from the layouts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.export.micro_decoders import decoded
from tfprune.export.encode.micro.chained_tables import code_tables
from tfprune.export.encode.micro.codewords import canonical_codes, huffman
from tfprune.export.encode.micro.encoded_constant import Coded
from tfprune.export.encode.micro.masks import bit_mask
from tfprune.export.encode.micro.tables import lookup
from tfprune.export.file.micro_decoding import expanded


def _weight(seed: int, *, zeros: float, levels: int, dtype: type = np.int8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 9, rng.integers(1, 5)))
    values = rng.choice(np.arange(-128, 128), levels, replace=False).astype(dtype)
    return np.where(rng.random(shape) < zeros, 0, rng.choice(values, shape)).astype(dtype)


def _is_exact(found: Coded | None, weight: np.ndarray) -> bool:
    if found is None:
        return False
    return all(
        again.dtype == weight.dtype and again.tobytes() == weight.tobytes()
        for decoder in (decoded, expanded)
        for again in [decoder(found.codes, found.ancillary, weight.dtype, weight.shape)]
    )


@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(1, 256))
def test_every_encoding_of_int8_gives_the_weight_back(seed, zeros, levels):
    weight = _weight(seed, zeros=zeros, levels=levels)
    assert _is_exact(bit_mask(weight), weight)
    assert _is_exact(huffman(weight), weight)
    assert (len(np.unique(weight)) > 128) or _is_exact(lookup(weight), weight)


@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(1, 100), st.sampled_from([0, -1]))
def test_tables_for_each_channel_give_the_weight_back(seed, zeros, levels, axis):
    weight = _weight(seed, zeros=zeros, levels=levels)
    assert _is_exact(lookup(weight, axis=axis % weight.ndim), weight)


def test_floats_keep_their_bits_and_minus_zero_is_no_zero():
    weight = np.array([[0.0, -0.0, 1.5], [np.inf, 1e-40, 0.0]], np.float32)
    for found in (bit_mask(weight), lookup(weight)):
        assert _is_exact(found, weight)
    assert bit_mask(weight).ancillary.size == 16 + 4 * 4


def test_a_lookup_has_at_most_128_values():
    assert lookup(np.arange(-64, 64, dtype=np.int8)) is not None
    assert lookup(np.arange(-64, 65, dtype=np.int8)) is None


@pytest.mark.parametrize(
    "bits, counts",
    [(1, {7: 5}), (2, {0: 8, 1: 1, 2: 1}), (20, {s: 2**s for s in range(21)})],
)
def test_huffman_codes_are_as_long_as_by_hand(bits, counts):
    assert max(length for _, length in canonical_codes(counts).values()) == bits


@given(st.dictionaries(st.integers(-128, 127), st.integers(1, 10**6), min_size=2))
def test_huffman_codes_leave_no_code_unused_and_cost_less_than_a_bit_above_the_entropy(counts):
    codes = canonical_codes(counts)
    assert sum(2.0**-length for _, length in codes.values()) == 1.0
    share = np.array([counts[symbol] for symbol in codes]) / sum(counts.values())
    mean = share @ [length for _, length in codes.values()]
    entropy = -(share @ np.log2(share))
    assert entropy - 1e-9 <= mean < entropy + 1


@given(st.dictionaries(st.integers(-128, 127), st.integers(1, 10**6), min_size=2))
def test_chained_tables_are_never_larger_than_one_table_or_a_tree(counts):
    codes = canonical_codes(counts)
    _, table = code_tables(codes)
    longest = max(length for _, length in codes.values())
    assert len(table) <= min(2**longest, 2 * (len(codes) - 1))


def test_sixteen_levels_at_ninety_percent_zeros_take_less_than_a_bit_and_a_half():
    rng = np.random.default_rng(0)
    levels = np.linspace(-120, 120, 16).round().astype(np.int8)
    weight = np.where(rng.random((64, 512)) < 0.9, 0, rng.choice(levels, (64, 512)))
    assert 8 * huffman(weight.astype(np.int8)).nbytes / weight.size < 1.5
