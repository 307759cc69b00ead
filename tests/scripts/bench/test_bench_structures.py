"""The cases of the benchmark of mask updates, on small weights."""

import pytest

from scripts.bench.structures import CASES, update_of


@pytest.mark.parametrize("name", CASES)
def test_every_case_reaches_its_sparsity(name):
    sparsity, options = CASES[name]
    update, reached = update_of((320, 40), sparsity, options)
    update()
    assert reached() == pytest.approx(sparsity, abs=1e-9)
