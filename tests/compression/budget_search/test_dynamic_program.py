"""One option for each weight: what the dynamic program chooses."""

import itertools

import numpy as np
import pytest

from tfprune.compression.budget_search.dynamic_program import cheapest


def _random(seed: int, budgets: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 6, size=5)
    return (
        [random.random(size) for size in sizes],
        [random.random((size, budgets)) for size in sizes],
    )


@pytest.mark.parametrize("budgets", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_trying_all_choices_finds(seed: int, budgets: int) -> None:
    losses, costs = _random(seed, budgets)
    limits = np.full(budgets, 2.2)
    fitting = [
        sum(loss[at] for loss, at in zip(losses, choice))
        for choice in itertools.product(*(range(loss.size) for loss in losses))
        if np.all(sum(cost[at] for cost, at in zip(costs, choice)) <= limits)
    ]
    found = cheapest(losses, costs, limits)
    if not fitting:
        assert found is None
        return
    assert found is not None
    assert np.all(sum(cost[at] for cost, at in zip(costs, found)) <= limits)
    loss = sum(each[at] for each, at in zip(losses, found))
    assert loss <= min(fitting) + 0.15 * (budgets - 1)  # grids of several budgets are coarser
    assert budgets > 1 or loss == pytest.approx(min(fitting))


def test_a_limit_that_the_cheapest_options_just_meet_is_met() -> None:
    losses = [np.array([0.0, 5.0])] * 40
    costs = [np.array([[1.0], [0.1]])] * 40
    assert cheapest(losses, costs, [4.0]) == [1] * 40
    assert cheapest(losses, costs, [3.9]) is None


def test_forty_weights_of_sixty_options_take_the_whole_budget() -> None:
    random = np.random.default_rng(0)
    costs = [np.sort(random.random((60, 1)) * size, axis=0) for size in range(1, 41)]
    losses = [1.0 / (0.01 + cost[:, 0]) for cost in costs]
    found = cheapest(losses, costs, [400.0])
    assert found is not None
    spent = sum(cost[at, 0] for cost, at in zip(costs, found))
    assert 0.98 * 400 < spent <= 400
