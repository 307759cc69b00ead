"""A structure that a user defines, everywhere a structure goes."""

import keras
import numpy as np
import pytest

import tfprune
from tests.support.helpers import fit
from tests.support.scorers.diagonals import BareDiagonals, Diagonals, stripes_of
from tfprune.sparsity.structures import group_labels

HALF = tfprune.OneShot(0.5)


def kernels(model):
    return {layer.name: np.asarray(layer.kernel) for layer in model.layers}


def assert_half_of_the_stripes_are_gone(model):
    for kernel in kernels(model).values():
        assert sorted(stripes_of(kernel)) == [0, 0, 1, 1]


@pytest.mark.parametrize("structure", [Diagonals(), BareDiagonals()], ids=["whole", "bare"])
@pytest.mark.parametrize("distribution", ["uniform", "erk", "global"])
def test_it_is_pruned_trained_and_stripped(mlp, data, structure, distribution):
    options = {"structure": structure, "distribution": distribution}
    plain = tfprune.strip_pruning(fit(tfprune.prune(mlp, HALF, **options), data))
    found = {name: stripes_of(kernel) for name, kernel in kernels(plain).items()}
    assert {share for shares in found.values() for share in shares} == {0.0, 1.0}
    if distribution == "uniform":
        assert_half_of_the_stripes_are_gone(plain)


@pytest.mark.parametrize("suffix", ["keras", "weights.h5"])
def test_it_is_saved_loaded_and_trained_on(mlp, data, tmp_path, suffix):
    plan = tfprune.PolynomialDecay(0.0, 0.5, 0, 12, frequency=4)
    pruned = fit(tfprune.prune(mlp, plan, structure=Diagonals()), data)
    path = tmp_path / f"model.{suffix}"
    if suffix == "keras":
        pruned.save(path)
        loaded = keras.saving.load_model(path)
        assert loaded.get_layer("hidden").structure == Diagonals()
    else:
        pruned.save_weights(path)
        loaded = tfprune.prune(mlp, plan, structure=Diagonals())
        loaded.load_weights(path)
    for layer, other in zip(pruned.layers, loaded.layers):
        assert np.array_equal(layer.pruned[0].mask.numpy(), other.pruned[0].mask.numpy())
    fit(loaded, data, epochs=2)
    assert_half_of_the_stripes_are_gone(tfprune.strip_pruning(loaded))


@pytest.mark.parametrize(
    "scorer",
    [
        "magnitude",
        "fisher",
        tfprune.scorers.Taylor(),
        tfprune.scorers.WoodFisher(block_size=30),
        tfprune.scorers.Reconstruction(),
    ],
    ids=lambda scorer: scorer if isinstance(scorer, str) else type(scorer).__name__,
)
@pytest.mark.parametrize("structure", [Diagonals(), BareDiagonals()], ids=["whole", "bare"])
def test_every_kind_of_scorer_prunes_it_in_one_shot(mlp, data, scorer, structure):
    pruned, report = tfprune.one_shot(
        mlp,
        0.5,
        scorer,
        data,
        "mse",
        structure=structure,
        distribution="uniform",
        stages=2,
        verbose=False,
    )
    assert_half_of_the_stripes_are_gone(tfprune.strip_pruning(pruned))
    assert report.nonzeros / report.parameters < 0.6


def test_woodfisher_scores_it_by_the_joint_saliency_of_its_groups(mlp, data):
    labels = group_labels(Diagonals(), (6, 20))
    pruned, _ = tfprune.one_shot(
        mlp,
        0.25,
        tfprune.scorers.WoodFisher(block_size=40),
        data,
        "mse",
        structure=Diagonals(),
        verbose=False,
    )
    mask = pruned.get_layer("hidden").pruned[0].mask.numpy()
    assert np.unique(labels[~mask]).size == 1 and np.count_nonzero(~mask) == 30


@pytest.mark.parametrize("structure", [Diagonals(), BareDiagonals()], ids=["whole", "bare"])
def test_the_sensitivity_to_it_is_that_of_whole_stripes(mlp, data, structure):
    found = tfprune.sensitivity(
        mlp,
        data,
        loss="mse",
        sparsities=(0.25, 0.5),
        structure=structure,
        verbose=False,
    )
    hidden = next(name for name in found.losses if name.endswith("hidden/kernel"))
    kernel = mlp.get_layer("hidden").kernel
    values = kernel.numpy()
    means = [np.abs(values)[Diagonals().labels(values.shape) == i].mean() for i in range(4)]
    stripe = Diagonals().labels(values.shape) == int(np.argmin(means))
    kernel.assign(np.where(stripe, 0, values))
    mlp.compile(loss="mse")
    by_hand = mlp.evaluate(*data, verbose=0)
    assert found.losses[hidden][0.25] == pytest.approx(by_hand, rel=1e-5)


def test_a_weight_that_it_cannot_be_laid_over_stays_dense(mlp, data):
    class Wide(Diagonals):
        def largest_sparsity(self, shape):
            if shape[-1] < 4:
                raise ValueError(f"Too narrow. Received: shape {shape}.")
            return 1.0

    pruned = tfprune.prune(mlp, HALF, structure=Wide())
    assert [type(layer).__name__ for layer in pruned.layers] == ["PrunedLayer", "Dense"]


def test_each_weight_may_have_its_own_from_a_choice(mlp, data):
    class Choice:
        def assign(self, layer):
            weights = tfprune.prunable.prunable_weights(layer)
            return [Diagonals() if weight.shape[-1] > 4 else None for weight in weights]

    pruned = tfprune.prune(mlp, HALF, structure=Choice(), rules=[("out/.*", 0.2)])
    assert pruned.get_layer("hidden").structure == Diagonals()
    assert pruned.get_layer("out").structure == tfprune.Unstructured()
    wrapped = tfprune.PrunedLayer(keras.layers.Dense(8), HALF, structure=Choice())
    wrapped.build((None, 4))
    assert wrapped.pruned[0].structure == Diagonals()
