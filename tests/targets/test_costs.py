"""What kernels take: by stored values, outputs and rows."""

import pytest

from tfprune.targets.costs import CACHE_BYTES, Costs, IntegerCosts, KernelCosts, pays_from

DENSE, SPARSE = KernelCosts(0.04, 0.01), KernelCosts(0.2, 0.1, 2.0, call=500.0)


def test_a_kernel_takes_a_call_its_values_and_its_outputs():
    assert SPARSE.nanoseconds(1000, 64) == pytest.approx(500 + 1000 * 0.2 + 64 * 2)
    expected = 500 + 1000 * (0.2 + 3 * 0.1) + 4 * 64 * 2
    assert SPARSE.nanoseconds(1000, 64, rows=4) == pytest.approx(expected)


def test_a_kernel_pays_from_where_it_is_faster_by_a_tenth():
    size = 1024 * 1024
    least = pays_from(DENSE, SPARSE)
    dense = 0.9 * DENSE.nanoseconds(size, 1024)
    assert SPARSE.nanoseconds((1 - least) * size, 1024) <= dense
    assert SPARSE.nanoseconds((1 - least + 0.01) * size, 1024) > dense


def test_values_from_beyond_the_cache_take_longer_by_their_bytes():
    integers = IntegerCosts(DENSE, SPARSE)
    costs = Costs(DENSE, SPARSE, SPARSE, int8=integers, dynamic=integers)
    assert costs.reading(CACHE_BYTES) is costs
    read = costs.reading(CACHE_BYTES + 1)
    added = [
        after.first - before.first
        for block, dynamic in ((1, False), (4, False), (16, False), (16, True))
        for before, after in zip(
            costs.kernels(block, dynamic=dynamic), read.kernels(block, dynamic=dynamic)
        )
    ]
    assert added == pytest.approx([0.12] * 4 + [0.03] * 4)
    assert read.dense.further == DENSE.further and read.rows.call == SPARSE.call
