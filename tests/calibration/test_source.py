"""What scorers need and no more: data, targets, a loss, a backend."""

import keras
import numpy as np
import pytest

import tfprune
from tests.support.helpers import fit, sparsity
from tests.support.jax_session import run_on_jax
from tfprune.calibration.source import EvidenceOptions, EvidenceSource
from tfprune.scorers.protocol import needs_of
from tfprune.wrapping.cohorts import cohorts_of
from tfprune.wrapping.pruned_layer import pruned_layers

HALF = tfprune.OneShot(0.5)


@pytest.mark.parametrize("scorer", ["magnitude", "random"])
def test_scorers_of_weights_alone_need_neither_data_nor_loss(mlp, scorer):
    pruned, report = tfprune.one_shot(mlp, 0.5, scorer, stages=2)
    assert sparsity(pruned, "hidden") == sparsity(pruned, "out") == 0.5
    assert report.examples == 0 and report.loss_after is None
    assert [stage.measured_change for stage in report.stages] == [None, None]
    values = report.to_dict()
    assert values["loss_after"] is None and values["stages"][0]["loss_before"] is None
    assert "loss at the end: not measured" in str(report) and "nan" not in str(report)


@pytest.mark.parametrize("scorer", ["reconstruction", "synflow"])
def test_scorers_of_inputs_need_neither_targets_nor_loss(mlp, data, scorer):
    measured, with_loss = tfprune.one_shot(mlp, 0.5, scorer, data, "mse")
    pruned, report = tfprune.one_shot(mlp, 0.5, scorer, data[0])
    for ours, theirs in zip(pruned.variables, measured.variables):
        assert np.array_equal(ours.numpy(), theirs.numpy())
    assert report.examples == 64 and report.loss_after is None
    assert with_loss.loss_after > 0


def test_the_loss_is_measured_where_it_happens_to_be_there(mlp, data):
    assert tfprune.one_shot(mlp, 0.5, "magnitude", data)[1].loss_after is None
    mlp.compile(loss="mse")
    assert tfprune.one_shot(mlp, 0.5, "magnitude", data[0])[1].loss_after is None
    pruned, report = tfprune.one_shot(mlp, 0.5, "magnitude", data)
    pruned.compile(loss="mse")
    assert report.loss_after == pytest.approx(pruned.evaluate(*data, verbose=0), rel=1e-5)


def test_inputs_alone_refresh_batch_normalization(data):
    inputs = keras.Input((6,))
    norm = keras.layers.BatchNormalization(name="norm")
    model = keras.Model(inputs, norm(keras.layers.Dense(4)(inputs)))
    pruned, report = tfprune.one_shot(model, 0.5, "magnitude", data[0])
    assert report.batch_norm_examples == 64
    assert (pruned.get_layer("norm").moving_mean.numpy() != 0).all()
    assert tfprune.one_shot(model, 0.5, "magnitude")[1].batch_norm_examples == 0


def test_reconstruction_prunes_gradually_from_inputs_alone(mlp, data):
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.5, step=4), scorer="reconstruction")
    fit(pruned, data, callbacks=[tfprune.UpdatePruningStep(data[0])])
    assert sparsity(pruned, "hidden") == 0.5


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("magnitude", None, "mse"), "because the loss is measured on it. Received: data=None"),
        (
            ("reconstruction",),
            r"because scores need inputs \(Reconstruction\). Received: data=None",
        ),
        (("synflow",), r"because scores need flow \(SynFlow\)"),
        (("snip", np.ones((8, 6))), "`data` must have targets"),
        (("reconstruction", np.ones((8, 6)), "mse"), "`data` must have targets"),
        (("reconstruction", np.ones((8, 5))), r"must take the examples of `data`.*\(5,\)"),
        (("magnitude", np.ones((8, 5))), r"must take the examples of `data`.*\(5,\)"),
        (("magnitude", (np.ones((8, 6)), np.ones((8, 7))), "mse"), r"\[\(6,\), \(7,\)\]"),
        (("snip", (np.ones((8, 6)), np.ones((8, 3)))), "is not compiled"),
    ],
    ids=str,
)
def test_what_is_missing_or_does_not_fit_is_said_before_anything_is_pruned(mlp, arguments, message):
    with pytest.raises(ValueError, match=message):
        tfprune.one_shot(mlp, 0.5, *arguments)


def test_the_older_way_to_ask_for_gradients_still_counts(mlp, data):
    class Older:
        needs_gradients = True

        def __call__(self, weights, gradients):
            mean = gradients.mean()
            return {name: np.abs(mean[name] * w) for name, w in weights.items()}

    assert needs_of(Older()) == {"gradients"}
    ours = tfprune.one_shot(mlp, 0.5, Older(), data, "mse")[0]
    theirs = tfprune.one_shot(mlp, 0.5, "snip", data, "mse", distribution="uniform")[0]
    for layer in ("hidden", "out"):
        masks = [m.get_layer(layer).pruned[0].mask.numpy() for m in (ours, theirs)]
        assert np.array_equal(*masks)


@pytest.mark.parametrize("needs", ["gradients", {"hessians"}, ["inputs", 3]], ids=repr)
def test_needs_of_another_kind_are_refused(mlp, needs):
    class Asking:
        def __call__(self, weights, evidence):
            return weights

    scorer = Asking()
    scorer.needs = needs
    with pytest.raises(
        ValueError, match="`needs` of a scorer must be a set of 'flow', 'gradients'"
    ):
        tfprune.one_shot(mlp, 0.5, scorer)


def test_a_scorer_that_asks_about_the_loss_without_saying_so_is_told_how(mlp, data):
    class Silent:
        needs = frozenset({"inputs"})

        def __call__(self, weights, evidence):
            return evidence.mean()

    with pytest.raises(ValueError, match=r"must say so: needs = frozenset\(\{'gradients'\}\)"):
        tfprune.one_shot(mlp, 0.5, Silent(), data[0])


def test_a_loss_of_layers_that_have_no_gradient_is_measured(data):
    inputs = keras.Input((6,))
    rounded = keras.layers.Lambda(keras.ops.round)(keras.layers.Dense(3)(inputs))
    model = keras.Model(inputs, rounded)
    assert tfprune.one_shot(model, 0.5, "magnitude", data, "mse")[1].loss_after > 0


def test_evidence_follows_what_is_frozen(mlp, data):
    pruned = tfprune.prune(mlp, HALF, scorer="snip")
    cohorts = cohorts_of(pruned_layers(pruned))
    source = EvidenceSource(pruned, cohorts, EvidenceOptions(data, "mse"))
    assert list(source.evidence().mean()) == ["mlp/hidden/kernel", "mlp/out/kernel"]
    pruned.get_layer("hidden").trainable = False
    assert list(source.evidence().mean()) == ["mlp/out/kernel"]


def test_jax_prunes_at_once_by_weights_and_by_inputs_and_measures_losses():
    run_on_jax("""
        import keras, numpy as np, tfprune
        assert keras.config.backend() == "jax"
        random = np.random.default_rng(0)
        x, y = random.normal(size=(64, 6)), random.normal(size=(64, 3))
        model = keras.Sequential([
            keras.Input((6,)), keras.layers.Dense(20, name="hidden"),
            keras.layers.BatchNormalization(), keras.layers.Dense(3, name="out"),
        ])
        before = [np.asarray(w) for w in model.get_weights()]

        def zeros(pruned):
            plain = tfprune.strip_pruning(pruned)
            return [float(np.mean(plain.get_layer(n).get_weights()[0] == 0)) for n in
                    ("hidden", "out")]

        pruned, report = tfprune.one_shot(model, 0.5, "magnitude")
        assert zeros(pruned) == [0.5, 0.5] and report.loss_after is None
        pruned, report = tfprune.one_shot(model, 0.5, "reconstruction", x, stages=2)
        assert zeros(pruned) == [0.5, 0.5] and report.loss_after is None
        assert report.batch_norm_examples == 64 and "not measured" in str(report)
        pruned, report = tfprune.one_shot(model, 0.5, "reconstruction", (x, y), "mse")
        pruned.compile(loss="mse")
        loss = pruned.evaluate(x, y, verbose=0)
        assert abs(report.loss_after - loss) < 1e-5 * loss
        found = tfprune.sensitivity(model, (x, y), loss="mse", sparsities=(0.5,))
        dense = float(np.mean((model.predict(x, verbose=0) - y) ** 2))
        assert abs(found.dense_loss - dense) < 1e-5 * dense
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
        """)
