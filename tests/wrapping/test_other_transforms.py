"""What else changes weights sees the masked weight, or is refused with what to do instead."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.helpers import fit

STEADY = tfprune.ConstantSparsity(0.5, 0)


def constrained(constraint):
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(20, name="hidden", kernel_constraint=constraint)]
        + [layers.Dense(3, name="out")]
    )


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`:UserWarning")
def test_quantizing_a_pruned_model_is_refused(mlp):
    pruned = tfprune.prune(mlp, STEADY)
    with pytest.raises(ValueError, match="`quantize` must not .* 'hidden': strip the model first"):
        pruned.quantize("int8")


def test_lora_of_a_pruned_layer_is_refused_and_of_a_stripped_one_works(mlp):
    pruned = tfprune.prune(mlp, STEADY)
    before = pruned.get_weights()
    with pytest.raises(ValueError, match="`enable_lora` must not .* 'out': strip the model first"):
        pruned.get_layer("out").layer.enable_lora(2)
    with pytest.raises(ValueError, match="strip the model first"):
        pruned.get_layer("out").enable_lora(2)
    assert all(np.array_equal(a, b) for a, b in zip(before, pruned.get_weights()))
    tfprune.strip_pruning(pruned).get_layer("out").enable_lora(2)
    mlp.get_layer("out").enable_lora(2)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`:UserWarning")
def test_a_stripped_model_is_quantized_as_any_other(mlp, data):
    plain = tfprune.strip_pruning(fit(tfprune.prune(mlp, STEADY), data))
    expected = plain.predict(data[0], verbose=0)
    plain.quantize("int8")
    assert np.abs(plain.predict(data[0], verbose=0) - expected).max() < 0.1


@pytest.mark.parametrize("norm", [keras.constraints.UnitNorm(0), keras.constraints.MaxNorm(0.5)])
def test_constraints_hold_for_what_is_left_of_a_weight(data, norm):
    pruned = fit(tfprune.prune(constrained(norm), STEADY), data, epochs=2)
    kernel = tfprune.strip_pruning(pruned).get_layer("hidden").kernel.numpy()
    assert np.mean(kernel == 0) == 0.5
    norms = np.linalg.norm(kernel, axis=0)
    if isinstance(norm, keras.constraints.UnitNorm):
        assert np.allclose(norms[norms > 0], 1, atol=1e-4)
    else:
        assert norms.max() <= 0.5 + 1e-5


@pytest.mark.filterwarnings("ignore:No mask update will happen:UserWarning")
def test_a_constraint_leaves_masked_values_as_they_are(data):
    model = tfprune.prune(constrained(keras.constraints.UnitNorm(0)), STEADY)
    fit(model, data)
    own = model.get_layer("hidden").pruned[0]
    before = own.weight.numpy()[~own.mask.numpy()]
    fit(model, data, optimizer=None)
    assert np.array_equal(own.weight.numpy()[~own.mask.numpy()], before)


def test_averaged_weights_are_refused_where_constraints_keep_the_zeros(mlp, data):
    kept = tfprune.strip_pruning(fit(tfprune.prune(mlp, STEADY), data), keep_masks=True)
    with pytest.raises(ValueError, match="must not average weights .*Train the pruned model"):
        kept.compile(keras.optimizers.SGD(0.01, use_ema=True), "mse")
    fit(kept, data, callbacks=[])
    assert np.mean(kept.get_layer("hidden").kernel.numpy() == 0) == 0.5


def test_averages_of_a_pruned_model_have_its_zeros(mlp, data):
    average = keras.optimizers.SGD(0.05, use_ema=True, ema_overwrite_frequency=3)
    pruned = fit(tfprune.prune(mlp, STEADY), data, epochs=2, optimizer=average)
    assert np.mean(tfprune.strip_pruning(pruned).get_layer("hidden").kernel.numpy() == 0) == 0.5
