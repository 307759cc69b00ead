"""Which ranks layers get: by hand on a few options, and against all there are."""

import itertools

import pytest

from tfprune.compression.low_rank.forms import Cost
from tfprune.compression.low_rank.ranks import (
    Option,
    named,
    require_met,
    with_energy,
    within_budget,
)


def _options(losses, each):
    return [Option((at + 1,), Cost(each * (at + 1), 0), loss) for at, loss in enumerate(losses)]


def _parameters(cost):
    return cost.parameters


LAYERS = [
    (Cost(100, 0), _options([0.6, 0.3, 0.1], 25)),
    (Cost(60, 0), _options([0.4, 0.2], 20)),
]


@pytest.mark.parametrize(
    ("target", "ranks"),
    [
        (170, [None, None]),  # 160 and 10 others
        (145, [(3,), None]),  # the smallest loss goes first
        (125, [(3,), (2,)]),
        (100, [(2,), (2,)]),
        (80, [(2,), (1,)]),
        (10, [(1,), (1,)]),
    ],
)
def test_every_layer_loses_at_most_the_same_share(target, ranks):
    found = within_budget(LAYERS, 10, target, _parameters)
    assert [option and option.ranks for option in found] == ranks


def test_a_step_too_large_is_left_out_and_the_others_go_on():
    found = within_budget(LAYERS, 10, 105, _parameters)  # 125 or 100, in turn
    assert [option and option.ranks for option in found] == [(3,), (1,)]


def test_no_other_choice_of_that_cost_has_a_smaller_largest_loss():
    found = within_budget(LAYERS, 0, 90, _parameters)
    cost = sum(option.cost.parameters for option in found)
    largest = max(option.loss for option in found)
    for others in itertools.product(*(options for _, options in LAYERS)):
        if sum(option.cost.parameters for option in others) <= cost:
            assert max(option.loss for option in others) >= largest


def test_a_budget_out_of_reach_says_how_far_it_can_go():
    require_met("macs=0.5", 100, 50.0, 51, 10)
    with pytest.raises(ValueError, match=r"Received: macs=0.05, of which at least 10.0% stay\.$"):
        require_met("macs=0.05", 100, 5.0, 10, 10)
    with pytest.raises(ValueError, match=r"at least 10.0% stay; near it, 60.0%\.$"):
        require_met("macs=0.5", 100, 50.0, 60, 10)


def test_ranks_have_names():
    assert named(3, (8,)) == (3,) and named(0.25, (8, 2)) == (2, 1)
    assert with_energy(0.8, LAYERS[1][1]) == (2,)
    assert with_energy(0.9, LAYERS[1][1]) is None
