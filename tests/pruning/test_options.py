"""Rules, distributions and structures, through prune, fit and strip."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.helpers import fit, sparsity
from tfprune.wrapping.pruned_layer import pruned_layers

HALF = tfprune.OneShot(0.5)
BAD = ["2:4", "unstructured", 0.5, 4, None, True, {}, {"kernel": tfprune.NofM(2, 4)}, [], (4, 4)]
BAD += [tfprune.NofM, tfprune.Block, tfprune.Unstructured, HALF, np.ones((4, 4)), object()]
BAD += [lambda shape: shape, keras.Variable([1.0]), layers.Dense(3), keras.initializers.Zeros()]


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
    options = {"structure": structure, "rules": [("out/.*", None)]}
    pruned = fit(tfprune.prune(mlp, tfprune.OneShot(sparsity_), **options), data)
    kernel = tfprune.strip_pruning(pruned).layers[0].kernel.numpy() != 0
    if isinstance(structure, tfprune.Block):
        assert set(kernel.reshape(3, 2, 10, 2).sum((1, 3)).reshape(-1)) == {0, 4}
    elif isinstance(structure, tfprune.NofM):
        assert (kernel.reshape(3, 2, 20).sum(1) == 1).all()
    else:
        assert sorted(set(kernel.sum(0))) == [0, 6] and (kernel.sum(0) > 0).sum() == 5


@pytest.mark.parametrize("value", BAD, ids=lambda value: type(value).__name__)
def test_what_is_no_structure_is_one_clear_error(mlp, data, value):
    before = [variable.numpy() for variable in mlp.variables]
    calls = [
        lambda: tfprune.prune(mlp, HALF, structure=value),
        lambda: tfprune.one_shot(mlp, 0.5, "magnitude", data, "mse", structure=value),
        lambda: tfprune.sensitivity(mlp, data, loss="mse", structure=value),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="`structure` must be.*Received: structure="):
            call()
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, mlp.variables))


def test_a_layer_takes_a_list_of_structures_and_nothing_else(mlp):
    for value in ("2:4", 4, {}, tfprune.NofM, [4], ["2:4"]):
        with pytest.raises(TypeError, match="`structure` must be.*Received: structure="):
            tfprune.PrunedLayer(layers.Dense(3), HALF, structure=value)


class Choice:
    def __init__(self, answer):
        self.answer = answer

    def assign(self, layer):
        return self.answer(tfprune.prunable.prunable_weights(layer))


@pytest.mark.parametrize(
    "answer, error, message",
    [
        (lambda weights: {id(w): None for w in weights}, TypeError, "must return a list"),
        (lambda weights: None, TypeError, "must return a list.*Received: None"),
        (lambda weights: [tfprune.NofM(2, 4)], ValueError, "each of the 2.*1 entries"),
        (lambda weights: ["2:4"] * len(weights), TypeError, "structure='2:4'"),
        (lambda weights: [None] * len(weights), ValueError, "nothing to prune.*every weight dense"),
    ],
)
def test_a_choice_must_give_one_structure_for_each_weight(mlp, answer, error, message):
    with pytest.raises(error, match=message):
        tfprune.prune(mlp, HALF, structure=Choice(answer))


def test_a_choice_with_a_pattern_goes_with_the_distributions_that_patterns_go_with(mlp):
    mixed = Choice(lambda weights: [tfprune.NofM(2, 4), tfprune.Unstructured()])
    with pytest.raises(ValueError, match="'global'.*N:M"):
        tfprune.prune(mlp, tfprune.OneShot(0.3), structure=mixed, distribution="global")
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.3), structure=mixed, scorer="taylor")
    assert pruned.layers[0].distribution == "uniform"
    alone = tfprune.PrunedLayer(layers.LSTM(4), HALF, structure=mixed, scorer="taylor")
    alone.build((None, 3, 4))
    assert alone.distribution == "uniform"
    with pytest.raises(ValueError, match="'global'.*N:M"):
        tfprune.PrunedLayer(layers.LSTM(4), HALF, structure=mixed, distribution="global").build(
            (None, 3, 4)
        )


def dense_model():
    keras.utils.set_random_seed(0)
    sizes = [keras.Input((8,)), layers.Dense(64, name="a"), layers.Dense(4, name="b")]
    return keras.Sequential([*sizes, layers.Dense(12, name="c")])


@pytest.mark.parametrize("sparsity", [0.2, 0.4, 0.5])
def test_n_of_m_with_erk_reaches_the_total(sparsity):
    model = dense_model()
    pruned = tfprune.prune(
        model, tfprune.OneShot(sparsity), structure=tfprune.NofM(2, 4), distribution="erk"
    )
    fit(pruned, (np.ones((4, 8), "float32"), np.zeros((4, 12), "float32")), epochs=1)
    kernels = [layer.kernel.numpy() for layer in tfprune.strip_pruning(pruned).layers]
    size, zeros = sum(k.size for k in kernels), sum(np.count_nonzero(k == 0) for k in kernels)
    assert abs(zeros - sparsity * size) <= len(kernels) / 2
    for kernel in kernels:
        groups = (kernel != 0).reshape(-1, 4, kernel.shape[-1]).sum(1)
        assert groups.min() >= 2 and (groups.max() == 2 or sparsity < 0.5)


def test_a_total_that_cannot_be_reached_is_refused_by_prune_with_the_numbers(mlp):
    before = [variable.numpy() for variable in mlp.variables]
    with pytest.raises(ValueError, match="<= 0.3889.*2 weights.*0.5.*hidden/kernel' at most 0.33"):
        tfprune.prune(mlp, HALF, structure=tfprune.NofM(2, 4), distribution="erk")
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, mlp.variables))
    frozen_out = tfprune.prune(
        mlp,
        HALF,
        structure=tfprune.NofM(2, 4),
        distribution="erk",
        rules=[("hidden/.*", None)],
    )
    assert frozen_out.layers[1].distribution == "erk"


def test_a_pattern_with_short_groups_says_how_much_less_it_removes(mlp, data):
    with pytest.warns(UserWarning, match=r"33.3% of '.*hidden/kernel' \(shape \(6, 20\), 50.0%"):
        pruned = tfprune.prune(mlp, HALF, structure=tfprune.NofM(2, 4))
    kernels = [layer.kernel.numpy() for layer in tfprune.strip_pruning(fit(pruned, data)).layers]
    assert [np.mean(kernel == 0) for kernel in kernels] == [pytest.approx(1 / 3), 0.5]


def test_nothing_is_said_where_groups_are_full_or_the_target_is_reached(mlp):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tfprune.prune(dense_model(), HALF, structure=tfprune.NofM(2, 4))
        tfprune.prune(mlp, tfprune.OneShot(0.3), structure=tfprune.NofM(2, 4))
        tfprune.prune(mlp, HALF, structure=tfprune.NofM(2, 4), rules=[("hidden/.*", None)])


def test_the_name_of_a_layer_is_a_rule_for_its_weights(mlp):
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.5), rules=[("out", None)])
    assert [type(layer).__name__ for layer in pruned.layers] == ["PrunedLayer", "Dense"]
    with pytest.raises(ValueError, match="must match at least one"):
        tfprune.prune(mlp, tfprune.OneShot(0.5), rules=[("ou", None)])
