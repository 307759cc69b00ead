"""Rules, distributions and structures, through prune, fit and strip."""

import numpy as np
import pytest

import tfprune
from tests.support.helpers import fit, sparsity
from tfprune.wrapping.pruned_layer import pruned_layers

HALF = tfprune.OneShot(0.5)


def test_rules_set_sparsities_by_path(mlp, data):
    rules = [("hidden/.*", 0.25), (".*/bias", None)]
    pruned = fit(tfprune.prune(mlp, tfprune.OneShot(0.5), rules=rules), data)
    assert (sparsity(pruned, "hidden"), sparsity(pruned, "out")) == (0.25, 0.5)


def test_the_first_matching_rule_wins_and_may_be_a_schedule(mlp, data):
    rules = [("hidden/kernel", None), ("hidden/.*", 0.9), ("out/.*", tfprune.OneShot(0.8, step=2))]
    pruned = fit(tfprune.prune(mlp, tfprune.OneShot(0.5), rules=rules), data)
    assert [layer.name for layer in pruned_layers(pruned)] == ["out"]
    assert sparsity(pruned, "out") == pytest.approx(0.8)


def test_a_ruled_number_follows_the_schedule(mlp):
    plan = tfprune.PolynomialDecay(0.0, 0.8, 0, 100)
    pruned = tfprune.prune(mlp, plan, rules=[("hidden/.*", 0.4)])
    own = pruned.get_layer("hidden").pruned[0]
    assert own.schedule(50) == pytest.approx(plan(50) / 2)


def test_a_rule_that_matches_nothing_raises(mlp):
    with pytest.raises(ValueError, match=r"\('conv1/\.\*', 0\.5\).*hidden/kernel"):
        tfprune.prune(mlp, HALF, rules=[("conv1/.*", 0.5)])
    with pytest.raises(ValueError, match="prunable weight.*bias"):
        tfprune.prune(mlp, HALF, rules=[(".*/bias", 0.5)])


@pytest.mark.parametrize("distribution", ["uniform", "erk", "global"])
def test_distributions_reach_the_target_over_the_whole_model(mlp, data, distribution):
    pruned = fit(tfprune.prune(mlp, tfprune.OneShot(0.8), distribution=distribution), data)
    kernels = [layer.kernel.numpy() for layer in tfprune.strip_pruning(pruned).layers]
    kept = sum(np.count_nonzero(k) for k in kernels)
    assert kept == round(0.2 * sum(k.size for k in kernels))


@pytest.mark.parametrize(
    "structure, sparsity_",
    [(tfprune.Block(2, 2), 0.8), (tfprune.NofM(1, 2), 0.5), (tfprune.Channel(), 0.75)],
    ids=str,
)
def test_structures_hold_in_the_stripped_model(mlp, data, structure, sparsity_):
    pruned = fit(tfprune.prune(mlp, tfprune.OneShot(sparsity_), structure=structure), data)
    kernel = tfprune.strip_pruning(pruned).layers[0].kernel.numpy() != 0
    if isinstance(structure, tfprune.Block):
        assert set(kernel.reshape(3, 2, 10, 2).sum((1, 3)).reshape(-1)) == {0, 4}
    elif isinstance(structure, tfprune.NofM):
        assert (kernel.reshape(3, 2, 20).sum(1) == 1).all()
    else:
        assert sorted(set(kernel.sum(0))) == [0, 6] and (kernel.sum(0) > 0).sum() == 5
