"""Derivatives on JAX are those on TensorFlow, and what JAX cannot differentiate is named."""

import numpy as np
import pytest

from tests.support.jax_session import run_on_jax
from tests.support.scorers.measured_evidence import NAMES, channel_scores, measured


@pytest.mark.parametrize("name", NAMES)
def test_evidence_is_that_of_tensorflow(name, tmp_path):
    run_on_jax(
        f"""
        import numpy as np
        from tests.support.scorers.measured_evidence import measured
        np.savez({str(tmp_path / "found.npz")!r}, **measured({name!r}))
        """
    )
    wanted = measured(name)
    with np.load(tmp_path / "found.npz") as found:
        assert {*found.files} == {*wanted}
        for asked, value in wanted.items():
            largest = np.abs(value).max()
            np.testing.assert_allclose(found[asked], value, rtol=1e-3, atol=1e-5 * largest + 1e-7)


def test_masks_and_weights_count_as_they_are_when_they_are_asked_about():
    run_on_jax(
        """
        import keras, numpy as np, tfprune
        from tfprune.calibration.source import EvidenceOptions, EvidenceSource
        from tfprune.wrapping.cohorts import cohorts_of
        from tfprune.wrapping.pruned_layer import pruned_layers
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
        pruned = tfprune.prune(model, tfprune.OneShot(0.5), scorer="snip")
        x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
        options = EvidenceOptions((x, x[:, :3]), "mse", verbose=False)
        source = EvidenceSource(pruned, cohorts_of(pruned_layers(pruned)), options)
        def agrees():
            ((name, found),) = source.evidence().mean().items()
            gap = pruned.predict(x, verbose=0) - x[:, :3]
            mask = source.evidence().masks[name]
            return np.allclose(found, 2 / 24 * mask * (x.T @ gap), atol=1e-5)
        assert agrees()
        (own,) = pruned.layers[0].pruned
        own.weight.assign(own.weight.value * 3.0)
        assert agrees()
        own.mask.assign(np.arange(12).reshape(4, 3) % 2 == 0)
        assert agrees()
        """
    )


def test_channels_are_those_that_tensorflow_chooses(tmp_path):
    run_on_jax(
        f"""
        import numpy as np
        from tests.support.scorers.measured_evidence import channel_scores
        np.savez({str(tmp_path / "found.npz")!r}, **channel_scores())
        """
    )
    with np.load(tmp_path / "found.npz") as found:
        for scorer, value in channel_scores().items():
            np.testing.assert_allclose(found[scorer], value, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("scorer", ["taylor", "fisher"])
def test_gradients_are_taken_of_the_weights_in_training(scorer):
    run_on_jax(
        f"""
        import keras, numpy as np, tfprune
        from tfprune.wrapping.pruned_layer import pruned_layers
        keras.utils.set_random_seed(0)
        x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
        x[:, 2:] = 0  # no gradient reaches the weights that read these, however large they are
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, use_bias=False)])
        model.set_weights([np.array([[0.1], [0.2], [5.0], [7.0]]) * np.ones((4, 4))])
        schedule = tfprune.ConstantSparsity(0.5, begin_step=2, frequency=100)
        pruned = tfprune.prune(model, schedule, scorer={scorer!r})
        pruned.compile(keras.optimizers.SGD(0.3), "mse")
        data = (x, x + 3)
        step = tfprune.UpdatePruningStep(data=data)
        pruned.fit(*data, epochs=4, batch_size=16, verbose=0, callbacks=[step])
        (own,) = pruned_layers(pruned)[0].pruned
        assert np.asarray(own.mask)[:2].all() and not np.asarray(own.mask)[2:].any()
        """
    )


def test_weights_without_a_gradient_are_named_and_scorers_prune_on_jax():
    run_on_jax(
        """
        import keras, numpy as np, tfprune
        x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
        inputs = keras.Input((4,))
        hard = keras.ops.stop_gradient(keras.layers.Dense(3, name="hard")(inputs))
        made = keras.layers.Dense(3, name="soft")(inputs)
        model = keras.Model(inputs, made + hard)
        try:
            tfprune.one_shot(model, 0.5, "taylor", (x, x[:, :3]), loss="mse")
        except ValueError as error:
            assert "no gradient for ['hard/kernel']" in str(error), error
        else:
            raise AssertionError("a weight without a gradient was scored")
        for scorer in ("taylor", "fisher", "woodfisher", "snip", "grasp", "synflow", "obd"):
            small, report = tfprune.one_shot(
                model, 0.5, scorer, (x, x[:, :3]), loss="mse", rules=[("hard/.*", None)])
            kernel = tfprune.strip_pruning(small).get_layer("soft").kernel
            assert (np.asarray(kernel) == 0).sum() == 6, scorer
        """
    )
