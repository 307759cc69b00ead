"""Kernels as products: closed forms on small matrices, and what data is worth."""

import numpy as np
import pytest

from tfprune.compression.low_rank import channel_svd, matrices, spatial_svd, tucker

KERNELS = {"spatial": spatial_svd.split, "channel": channel_svd.split, "tucker": tucker.split}


def _random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def _inputs(rows, width):
    """Inputs whose coordinates depend on each other and differ in size."""
    return _random(rows, width) @ (_random(width, width, seed=1) * np.logspace(0, -2, width))


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5)])
@pytest.mark.parametrize("seen", ["nothing", "few", "diagonal", "many"])
def test_full_rank_gives_the_matrix_whatever_the_inputs_say(shape, seen):
    w = _random(*shape)
    x = {"few": _inputs(2, shape[0]), "many": _inputs(40, shape[0])}.get(seen)
    moments = None if x is None else x.T @ x
    moments = np.arange(shape[0]) * 1.0 if seen == "diagonal" else moments
    found = matrices.split(w, moments)
    (a, b), error = found.factors(found.ranks[-1])
    np.testing.assert_allclose(a @ b, w, atol=1e-9)
    assert error < 1e-9 and found.losses[-1] < 1e-12


@pytest.mark.parametrize("shape", [(9, 5), (5, 9)])
def test_with_data_the_outputs_are_as_near_as_a_product_of_that_rank_can_be(shape):
    w, x = _random(*shape), _inputs(50, shape[0])
    values = np.linalg.svd(x @ w, compute_uv=False)
    found = matrices.split(w, x.T @ x)
    for rank in (1, 2, 4):
        (a, b), error = found.factors((rank,))
        lost = np.linalg.norm(x @ (w - a @ b))
        assert a.shape == (shape[0], rank) and b.shape == (rank, shape[1])
        np.testing.assert_allclose(lost, np.sqrt(np.sum(values[rank:] ** 2)), rtol=1e-6)
        np.testing.assert_allclose(error, lost / np.linalg.norm(x @ w), rtol=1e-6)
        np.testing.assert_allclose(found.losses[rank - 1], error**2, rtol=1e-5)
        (c, d), _ = matrices.split(w).factors((rank,))
        assert lost < 0.9 * np.linalg.norm(x @ (w - c @ d))  # plain SVD


def test_counts_are_a_diagonal_of_moments():
    w, counts = _random(6, 3), np.array([0.0, 1.0, 5.0, 2.0, 0.0, 9.0])
    (a, b), error = matrices.split(w, counts).factors((2,))
    (c, d), other = matrices.split(w, np.diag(counts)).factors((2,))
    np.testing.assert_allclose(a @ b, c @ d, atol=1e-6)
    np.testing.assert_allclose(error, other, rtol=1e-6)


def test_columns_and_rows_of_the_factors_have_the_same_norms():
    (a, b), _ = matrices.split(_random(8, 6)).factors((3,))
    np.testing.assert_allclose(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=1))


def test_refitted_is_least_squares():
    x, p, w = _inputs(30, 6), _random(6, 2), _random(6, 4)
    wanted = np.linalg.lstsq(x @ p, x @ w, rcond=None)[0]
    got = matrices.refitted(p, np.zeros((2, 4)), w, x.T @ x)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("with_data", [False, True])
def test_full_ranks_of_a_kernel_lose_nothing(kind, with_data):
    kernel, x = _random(3, 3, 4, 6), _inputs(100, 36)
    found = KERNELS[kind](kernel, x.T @ x if with_data else None)
    factors, error = found.factors(found.ranks[-1])
    assert error < 1e-7 and found.losses[-1] < 1e-12
    assert all(np.diff(found.losses) <= 1e-12) and list(found.ranks) == sorted(found.ranks)


@pytest.mark.parametrize("kind", KERNELS)
def test_data_brings_the_outputs_of_a_kernel_nearer(kind):
    kernel, x = _random(3, 3, 4, 8), _inputs(200, 36)
    wanted = x @ kernel.reshape(36, 8)
    lost = {}
    for label, moments in (("plain", None), ("data", x.T @ x)):
        found = KERNELS[kind](kernel, moments)
        ranks = (2, 4) if kind == "tucker" else (3,)
        factors, error = found.factors(ranks)
        lost[label] = np.linalg.norm(x @ _product(factors).reshape(36, 8) - wanted)
        lost[label] /= np.linalg.norm(wanted)
        if moments is not None:
            np.testing.assert_allclose(error, lost[label], rtol=1e-6)
    assert lost["data"] < 0.9 * lost["plain"]


def _product(factors):
    """The kernel that two or three convolutions, one behind the other, amount to."""
    if factors[0].shape[:2] == (3, 1):
        return np.einsum("iacr,bjrn->ijcn", *factors)
    if len(factors) == 2:
        return np.einsum("ijcr,abrn->ijcn", *factors)
    return np.einsum("abcs,ijst,detn->ijcn", *factors)
