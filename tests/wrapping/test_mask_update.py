"""One update: all or nothing, what scorers and rules may give, and a rule that drops and grows."""

import dataclasses

import keras
import numpy as np
import pytest

import tfprune
from tfprune.calibration.evidence import evidence_of
from tfprune.scorers import Magnitude
from tfprune.wrapping.cohorts import cohorts_of
from tfprune.wrapping.mask_update import LiveVariables, UpdateOptions, keep_highest, run_update
from tfprune.wrapping.pruned_layer import pruned_layers


def linear(features=6, outputs=3):
    """A linear model without biases, so that gradients have a closed form."""
    layer = keras.layers.Dense(outputs, use_bias=False, name="out")
    return keras.Sequential([keras.Input((features,)), layer], name="linear")


def masks_of(model):
    return {layer.name: layer.pruned[0].mask.numpy() for layer in pruned_layers(model)}


def values_of(model):
    return [variable.numpy() for variable in model.variables]


@dataclasses.dataclass
class DropAndGrow:
    """RigL (Evci et al., ICML 2020, arXiv 1911.11134, algorithm 1) at a constant sparsity.

    The smallest magnitudes are dropped, a share of those present; as many masked weights come back,
    at zero, where the dense gradient is largest.
    """

    share: float
    needs: frozenset = frozenset({"gradients"})

    def __call__(self, proposal):
        if proposal.step == 0:
            return keep_highest(proposal)
        masks = {}
        for name, present in proposal.present.items():
            count = round(self.share * present.sum())
            magnitude = np.where(present, np.asarray(proposal.scores[name]), np.inf)
            gradient = np.where(present, -np.inf, np.abs(proposal.dense_gradients[name]))
            mask = present.copy().reshape(-1)
            mask[np.argsort(magnitude, axis=None)[:count]] = False
            mask[np.argsort(-gradient, axis=None)[:count]] = True
            masks[name] = mask.reshape(present.shape)
        return masks

    def compensate(self, weights, proposal, masks):
        return {n: np.where(proposal.present[n], w, 0.0) for n, w in weights.items()}


def test_the_dense_gradient_is_that_by_the_masked_weight_where_it_is_masked_too(data):
    x, y = data
    pruned = tfprune.prune(linear(), tfprune.OneShot(0.5))
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD()).begin()
    own = pruned.layers[0].pruned[0]
    mask = own.mask.numpy()
    found = evidence_of(pruned, data, "mse", examples=None)
    (name,) = found.masks
    residual = x @ (own.weight.numpy() * mask) - y
    expected = 2 / residual.size * x.T @ residual
    assert np.allclose(found.dense_mean()[name], expected, atol=1e-6)
    assert np.allclose(found.mean()[name], expected * mask, atol=1e-6)
    assert (expected[~mask] != 0).all()


def test_a_drop_and_grow_rule_moves_weights_and_keeps_the_sparsity_exact(data):
    x, y = data
    pruned = tfprune.prune(linear(), tfprune.ConstantSparsity(0.5, frequency=1))
    optimizer = keras.optimizers.SGD(0.1)
    updater = tfprune.PruningUpdater(
        pruned, optimizer, data=data, loss="mse", examples=None, update_rule=DropAndGrow(0.3)
    )
    own = pruned.layers[0].pruned[0]
    updater.begin()
    for _ in range(3):
        before, weight = own.mask.numpy(), own.weight.numpy()
        optimizer.iterations.assign_add(1)  # a step that changes no weight
        updater.update()
        mask = own.mask.numpy()
        gradient = np.abs(x.T @ (x @ (weight * before) - y))
        dropped, grown = before & ~mask, mask & ~before
        assert mask.sum() == 9 and dropped.sum() == grown.sum() == 3
        assert np.abs(weight[dropped]).max() <= np.abs(weight[before & mask]).min()
        assert gradient[grown].min() >= gradient[~before & ~mask].max()
        assert (own.weight.numpy()[grown] == 0).all()
        assert np.array_equal(own.weight.numpy()[~grown], weight[~grown])


def test_a_drop_and_grow_rule_trains_in_fit(data):
    pruned = tfprune.prune(linear(), tfprune.ConstantSparsity(0.5, frequency=2))
    pruned.compile("sgd", "mse")
    seen = []

    class Masks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(masks_of(pruned)["out"])

    update = tfprune.UpdatePruningStep(data, update_rule=DropAndGrow(0.3))
    pruned.fit(*data, batch_size=8, verbose=0, callbacks=[Masks(), update])
    assert {int(mask.sum()) for mask in seen} == {9}
    assert (seen[-1] & ~seen[0]).any()


def test_a_rule_that_needs_data_asks_for_it_before_training(data):
    pruned = tfprune.prune(linear(), tfprune.OneShot(0.5))
    pruned.compile("sgd", "mse")
    update = tfprune.UpdatePruningStep(update_rule=DropAndGrow(0.3))
    with pytest.raises(ValueError, match=r"scores need gradients \(the update rule\)"):
        pruned.fit(*data, verbose=0, callbacks=[update])


def test_a_rule_that_asks_for_gradients_without_saying_so_is_told_how(data):
    pruned = tfprune.prune(linear(), tfprune.OneShot(0.5))
    updater = tfprune.PruningUpdater(
        pruned,
        keras.optimizers.SGD(),
        update_rule=lambda proposal: {n: g > 0 for n, g in proposal.dense_gradients.items()},
    )
    with pytest.raises(ValueError, match=r"must say so: needs = frozenset\(\{'gradients'\}\)"):
        updater.begin()


def two_cohorts(mlp, scorer="magnitude"):
    """A pruned model in which the two layers follow schedules of their own."""
    rules = [("out/.*", tfprune.OneShot(0.25))]
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.5), scorer=scorer, rules=rules)
    return pruned, cohorts_of(pruned_layers(pruned))


def never(step):
    raise AssertionError("no scorer asks for evidence")


def test_cohorts_are_updated_each_at_its_own_step_of_its_own_schedule(mlp):
    pruned, cohorts = two_cohorts(mlp)
    updates = run_update([(cohort, 0) for cohort in cohorts], never, LiveVariables())
    assert [mask.mean() for mask in masks_of(pruned).values()] == [0.5, 0.75]
    assert [list(update.masks) for update in updates] == [["mlp/hidden/kernel"], ["mlp/out/kernel"]]


def test_evidence_is_measured_once_for_all_cohorts_and_only_if_one_asks(mlp, data):
    pruned, cohorts = two_cohorts(mlp, "snip")
    asked = []

    def evidence(step):
        asked.append(step)
        return evidence_of(pruned, data, "mse")

    run_update([(cohort, 3) for cohort in cohorts], evidence, LiveVariables())
    assert asked == [3] and [m.mean() for m in masks_of(pruned).values()] == [0.5, 0.75]


BAD_SCORES = {
    "none for a weight": (lambda w: None, "Received: none for 'mlp/out/kernel', shape .20, 3."),
    "another shape": (lambda w: w[:1], r"Received: shape \(1, 3\), float32 for 'mlp/out/kernel'"),
    "complex": (lambda w: w + 0j, "Scores must be real arrays.*complex64 for 'mlp/out/kernel'"),
    "text": (lambda w: np.full(w.shape, "a"), "Scores must be real arrays.*<U1 for 'mlp/out"),
    "NaN": (lambda w: w * np.nan, "NaN of 60 in 'mlp/out/kernel'"),
}


@pytest.mark.parametrize("kind", BAD_SCORES)
def test_scores_that_do_not_fit_are_named_and_nothing_has_changed(mlp, kind):
    wrong, message = BAD_SCORES[kind]

    def scorer(weights, evidence):
        return {n: wrong(w) if "out" in n else np.abs(w) for n, w in weights.items()}

    pruned, cohorts = two_cohorts(mlp, scorer)
    before = values_of(pruned)
    with pytest.raises(ValueError, match=message):
        run_update([(cohort, 0) for cohort in cohorts], never, LiveVariables())
    assert all(np.array_equal(a, b) for a, b in zip(before, values_of(pruned)))


@pytest.mark.parametrize(
    "rule, error, message",
    [
        (lambda p: {}, ValueError, "Masks must be boolean arrays.*none for 'mlp/hidden"),
        (lambda p: p.scores, ValueError, "Masks must be boolean arrays.*float32 for 'mlp/hidden"),
        (lambda p: None, TypeError, "Masks must be a dictionary.*None"),
    ],
    ids=["nothing", "numbers", "no dictionary"],
)
def test_masks_that_do_not_fit_are_named_and_nothing_has_changed(mlp, rule, error, message):
    pruned, cohorts = two_cohorts(mlp)
    before = values_of(pruned)
    options = UpdateOptions(lambda proposal: rule(proposal))
    with pytest.raises(error, match=message):
        run_update([(cohort, 0) for cohort in cohorts], never, LiveVariables(), options)
    assert all(np.array_equal(a, b) for a, b in zip(before, values_of(pruned)))


class Doubling(Magnitude):
    """Keeps the largest and doubles them."""

    def compensate(self, weights, evidence, masks):
        return {name: 2 * w for name, w in weights.items()}


def test_new_weights_are_set_where_they_are_kept_and_only_if_something_goes(mlp):
    pruned, cohorts = two_cohorts(mlp, Doubling())
    before = {layer.name: layer.pruned[0].weight.numpy() for layer in pruned_layers(pruned)}
    for _ in range(2):  # the second time the masks stay as they are
        run_update([(cohort, 0) for cohort in cohorts], never, LiveVariables())
        for layer in pruned_layers(pruned):
            mask, weight = layer.pruned[0].mask.numpy(), layer.pruned[0].weight.numpy()
            assert np.array_equal(weight, np.where(mask, 2, 1) * before[layer.name])


def test_new_weights_of_a_wrong_shape_are_refused_before_a_mask_is_set(mlp):
    class Wrong(Magnitude):
        def compensate(self, weights, evidence, masks):
            return {name: w[:1] for name, w in weights.items()}

    pruned, cohorts = two_cohorts(mlp, Wrong())
    with pytest.raises(ValueError, match="New weights must be real arrays"):
        run_update([(cohort, 0) for cohort in cohorts], never, LiveVariables())
    assert all(mask.all() for mask in masks_of(pruned).values())
