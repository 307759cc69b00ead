import tracemalloc

import numpy as np
import pytest

from tfprune.scorers.woodfisher import factor, inverse
from tfprune.scorers.woodfisher.inverse import (
    inverse_fisher_diagonal,
    inverse_fisher_diagonals,
    inverse_fisher_vector_product,
    scale_free_damping,
)

# (N, d, block size): N < B, N = B and N > B, last blocks smaller, blocks of 1, 7 and 16 in batches
SIZES = [
    (40, 220, 150),
    (20, 512, None),
    (100, 100, None),
    (100, 130, 100),
    (150, 130, 60),
    (200, 256, 128),
    (90, 100, 16),
    (90, 100, 7),
    (5, 40, 1),
    (1, 30, 10),
]
KINDS = ["normal", "zero rows", "dead columns", "low rank", "scales"]


def gradients_of(kind, examples, size, seed=0):
    random = np.random.default_rng(seed)
    found = random.normal(size=(examples, size))
    if kind == "zero rows":
        found[::3] = 0.0
    elif kind == "dead columns":
        found[:, ::4] = 0.0
    elif kind == "low rank":
        found = found[:, :1] * random.normal(size=(1, size))
    elif kind == "scales":
        found *= 10.0 ** random.uniform(-3, 0, size)
    return found


def woodbury(gradients, damping, block_size):
    """The inverse Fisher, one rank-one update an example, in extended precision: (d, d)."""
    examples, size = gradients.shape
    found = np.zeros((size, size), np.longdouble)
    for start in range(0, size, block_size or size):
        part = gradients[:, start : start + (block_size or size)].astype(np.longdouble)
        inverse = np.eye(part.shape[1], dtype=np.longdouble) / np.longdouble(damping)
        for g in part:
            u = inverse @ g
            inverse -= np.outer(u, u) / (examples + g @ u)
        stop = start + len(inverse)
        found[start:stop, start:stop] = inverse
    return found


def by_inversion(gradients, damping, block_size):
    """The same by a float64 matrix inverse."""
    examples, size = gradients.shape
    block = np.arange(size) // (block_size or size)
    fisher = gradients.T @ gradients / examples + damping * np.eye(size)
    return np.linalg.inv(np.where(block[:, None] == block, fisher, 0.0))


def relative(found, expected):
    return float(np.max(np.abs(found / expected - 1.0)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("examples, size, block_size", SIZES)
def test_diagonal_equals_the_recursion_and_the_inverse(kind, examples, size, block_size):
    gradients = gradients_of(kind, examples, size)
    expected = np.diagonal(woodbury(gradients, 1e-3, block_size)).astype(float)
    found = inverse_fisher_diagonal(gradients, damping=1e-3, block_size=block_size)
    assert found.dtype == np.float64 and relative(found, expected) <= 1e-9
    inverse = np.diagonal(by_inversion(gradients, 1e-3, block_size))
    assert relative(found, inverse) <= 1e-9

    single = gradients.astype(np.float32)
    expected = np.diagonal(woodbury(single, 1e-5, block_size)).astype(float)
    found = inverse_fisher_diagonal(single, damping=1e-5, block_size=block_size)
    assert found.dtype == np.float32 and relative(found, expected) <= 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("examples, size, block_size", SIZES)
def test_vector_product_equals_the_recursion(kind, examples, size, block_size):
    gradients = gradients_of(kind, examples, size)
    x = np.random.default_rng(1).normal(size=size)
    expected = (woodbury(gradients, 1e-3, block_size) @ x).astype(float)
    found = inverse_fisher_vector_product(gradients, x, damping=1e-3, block_size=block_size)
    assert np.linalg.norm(found - expected) <= 1e-9 * np.linalg.norm(expected)
    single = gradients.astype(np.float32)
    found = inverse_fisher_vector_product(single, x, damping=1e-3, block_size=block_size)
    expected = (woodbury(single, 1e-3, block_size) @ x).astype(float)
    assert found.dtype == np.float32
    assert np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("examples, size, block_size", SIZES)
def test_a_sweep_of_dampings_equals_separate_calls(examples, size, block_size):
    gradients, dampings = gradients_of("dead columns", examples, size), [1e-3, 0.1, 2.0]
    found = inverse_fisher_diagonals(gradients, dampings=dampings, block_size=block_size)
    expected = [
        inverse_fisher_diagonal(gradients, damping=damping, block_size=block_size)
        for damping in dampings
    ]
    assert found.shape == (3, size) and relative(found, np.stack(expected)) <= 1e-9


def test_a_sweep_forms_each_gram_matrix_once(monkeypatch):
    calls = []
    gram = factor.gram
    monkeypatch.setattr(factor, "gram", lambda *a: calls.append(a[1:]) or gram(*a))
    gradients = gradients_of("normal", 30, 200)
    inverse_fisher_diagonals(gradients, dampings=[0.1, 0.2, 0.3, 0.4], block_size=100)
    assert calls == [(0, 100), (100, 200)]


@pytest.mark.parametrize("block_size", [1, 8, 50, 100, None])
def test_without_gradients_the_inverse_is_that_of_the_damping(block_size):
    for gradients in (np.zeros((20, 200)), np.zeros((300, 200), np.float32)):
        found = inverse_fisher_diagonal(gradients, damping=0.25, block_size=block_size)
        assert np.array_equal(found, np.full(200, 4.0))
        x = np.arange(200.0)
        product = inverse_fisher_vector_product(gradients, x, damping=0.25, block_size=block_size)
        assert np.array_equal(product, 4.0 * x)


@pytest.mark.parametrize("block_size", [4, 8, 50, None])
@pytest.mark.parametrize("examples", [20, 300])
def test_a_damping_below_rounding_leaves_all_finite_and_within_bounds(examples, block_size):
    # Identical gradients: [F^-1]_qq is (1 - 1/B) / damping to 20 digits, which float64 has not.
    gradients = np.full((examples, 200), 1e8)
    expected = (1.0 - 1.0 / (block_size or 200)) / 1e-5
    found = inverse_fisher_diagonal(gradients, damping=1e-5, block_size=block_size)
    assert relative(found, expected) <= 1e-6
    swept = inverse_fisher_diagonals(gradients, dampings=[1e-5], block_size=block_size)[0]
    assert relative(swept, expected) <= 1e-6
    x = np.ones(200)
    product = inverse_fisher_vector_product(gradients, x, damping=1e-5, block_size=block_size)
    assert np.isfinite(product).all() and np.abs(product).max() < 1.0


def test_a_huge_gradient_of_one_weight_does_not_cancel_to_zero():
    gradients = gradients_of("normal", 20, 100) * 1e-3
    gradients[:, 7] *= 1e9
    found = inverse_fisher_diagonal(gradients, damping=1e-5)
    expected = np.diagonal(woodbury(gradients, 1e-5, None)).astype(float)
    assert found[7] >= 0.999 / np.mean(gradients[:, 7] ** 2)
    assert relative(found[8:], expected[8:]) < 0.1


def test_memory_maps_and_columns_in_pieces_give_the_same_numbers(tmp_path, monkeypatch):
    gradients = gradients_of("normal", 50, 700).astype(np.float32)
    x = np.ones(700)
    mapped = np.memmap(tmp_path / "gradients", np.float32, "w+", shape=gradients.shape)
    mapped[:] = gradients
    for block_size in (8, 30, 300, None):
        options = {"damping": 1e-3, "block_size": block_size}
        whole = inverse_fisher_diagonal(gradients, **options)
        product = inverse_fisher_vector_product(gradients, x, **options)
        sweep = inverse_fisher_diagonals(gradients, dampings=[1e-3], block_size=block_size)
        with monkeypatch.context() as patch:
            patch.setattr(factor, "_PIECE", 17 * 8 * 50)
            patch.setattr(inverse, "_BATCH", 3000)
            small = inverse_fisher_diagonal(mapped, **options)
            assert relative(small, whole) <= 1e-6
            assert relative(inverse_fisher_vector_product(mapped, x, **options), product) <= 1e-5
            pieces = inverse_fisher_diagonals(mapped, dampings=[1e-3], block_size=block_size)
            assert relative(pieces, sweep) <= 1e-6


@pytest.mark.parametrize("examples, size, block_size", [(300, 40_000, None), (300, 40_000, 2000)])
def test_memory_beyond_the_gradients_is_at_most_64_mb(examples, size, block_size):
    gradients = np.ones((examples, size), np.float32)
    gradients[np.arange(examples), np.arange(examples)] = 0.0
    x = np.ones(size)
    for function in (
        lambda: inverse_fisher_diagonal(gradients, damping=1e-3, block_size=block_size),
        lambda: inverse_fisher_vector_product(gradients, x, damping=1e-3, block_size=block_size),
        lambda: inverse_fisher_diagonals(gradients, dampings=[1e-3, 1], block_size=block_size),
    ):
        tracemalloc.start()
        function()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 64 * 2**20


def test_scale_free_damping_makes_the_order_independent_of_the_scale_of_the_loss():
    gradients = gradients_of("scales", 30, 80)
    assert np.isclose(scale_free_damping(gradients, 0.1), 0.1 * np.mean(gradients**2), rtol=1e-12)
    first, second = (
        inverse_fisher_diagonal(g, damping=scale_free_damping(g, 0.1)) * np.mean(g**2)
        for g in (gradients, 1e4 * gradients)
    )
    assert relative(first, second) <= 1e-9
    assert scale_free_damping(np.zeros((3, 4)), 0.1) == 0.1


def test_result_precision_follows_the_gradients():
    for dtype, expected in (("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("i4", "f8")):
        gradients = np.eye(3).astype(dtype)
        assert inverse_fisher_diagonal(gradients, damping=1.0).dtype == expected


@pytest.mark.parametrize("block_size", [2, 30, 100, None])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_gradients_that_are_not_finite_are_refused(block_size, value):
    gradients = gradients_of("normal", 50, 200)
    gradients[30, 150] = value
    for function in (
        lambda: inverse_fisher_diagonal(gradients, damping=1.0, block_size=block_size),
        lambda: inverse_fisher_diagonals(gradients, dampings=[1.0], block_size=block_size),
        lambda: inverse_fisher_vector_product(
            gradients, np.ones(200), damping=1.0, block_size=block_size
        ),
        lambda: scale_free_damping(gradients, 1.0),
    ):
        with pytest.raises(ValueError, match="`gradients` must be finite.*columns"):
            function()


def test_arguments_out_of_range_are_refused():
    gradients = np.ones((3, 4))
    for damping in (0.0, -1e-5, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"`damping` must be > 0 .* damping={damping}"):
            inverse_fisher_diagonal(gradients, damping=damping)
        with pytest.raises(ValueError, match="`damping` must be > 0"):
            inverse_fisher_vector_product(gradients, np.ones(4), damping=damping)
        with pytest.raises(ValueError, match="`dampings` must be > 0"):
            inverse_fisher_diagonals(gradients, dampings=[1.0, damping])
    with pytest.raises(ValueError, match="`dampings` must not be empty"):
        inverse_fisher_diagonals(gradients, dampings=[])
    with pytest.raises(TypeError, match="`damping` must be a number.*type str"):
        inverse_fisher_diagonal(gradients, damping="1e-5")
    with pytest.raises(ValueError, match="`block_size` must be >= 1. Received: block_size=0"):
        inverse_fisher_diagonal(gradients, damping=1.0, block_size=0)
    with pytest.raises(TypeError, match="`block_size` must be an integer"):
        inverse_fisher_diagonal(gradients, damping=1.0, block_size=2.0)
    for shape in ((4,), (2, 3, 4), (0, 4), (4, 0)):
        with pytest.raises(ValueError, match=r"`gradients` must be of shape \(N, d\)"):
            inverse_fisher_diagonal(np.ones(shape), damping=1.0)
    with pytest.raises(TypeError, match="array of real numbers. Received: dtype complex128"):
        inverse_fisher_diagonal(np.ones((3, 4), complex), damping=1.0)
    with pytest.raises(ValueError, match=r"`x` must have shape \(4,\).*\(3,\)"):
        inverse_fisher_vector_product(gradients, np.ones(3), damping=1.0)
    with pytest.raises(ValueError, match="`x` must be finite"):
        inverse_fisher_vector_product(gradients, np.array([1.0, np.nan, 0, 0]), damping=1.0)
