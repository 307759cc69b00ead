"""A masked weight keeps its value, whatever the optimizer remembers of it."""

import keras
import numpy as np
import pytest

import tfprune
from tests.support.helpers import fit
from tfprune.wrapping.optimizer_slots import moving_slots

OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "adamax": lambda: keras.optimizers.Adamax(0.01),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "adadelta": lambda: keras.optimizers.Adadelta(1.0),
    "ftrl": lambda: keras.optimizers.Ftrl(0.1),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}


class AtMasking(keras.callbacks.Callback):
    """Notes the stored weight after the step in which its mask was set."""

    def on_train_batch_end(self, batch, logs=None):
        own = self.model.get_layer("hidden").pruned[0]
        if not own.mask.numpy().all() and not hasattr(self, "seen"):
            self.seen, self.mask = own.weight.numpy().copy(), own.mask.numpy()


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_masked_weight_keeps_its_value_under_every_optimizer(mlp, data, make):
    pruned = tfprune.prune(mlp, tfprune.OneShot(0.5, step=5))
    noted = AtMasking()
    fit(pruned, data, epochs=3, optimizer=make(), callbacks=[tfprune.UpdatePruningStep(), noted])
    now = pruned.get_layer("hidden").pruned[0].weight.numpy()
    assert np.array_equal(now[~noted.mask], noted.seen[~noted.mask])
    assert not np.array_equal(now[noted.mask], noted.seen[noted.mask])


def test_state_is_found_by_the_path_of_its_weight(mlp):
    optimizer = keras.optimizers.Adam(amsgrad=True)
    optimizer.build(mlp.trainable_variables)
    weights = {w.path: w for w in mlp.trainable_variables}
    found = moving_slots(optimizer, weights)
    assert {name: len(slots) for name, slots in found.items()} == dict.fromkeys(weights, 3)
    assert all(s.shape == weights[name].shape for name, slots in found.items() for s in slots)


def test_two_weights_of_one_path_have_state_of_their_own():
    layers = [keras.layers.Dense(4, name="a", use_bias=False) for _ in range(2)]
    for layer in layers:
        layer.build((None, 4))
    weights = {f"{number}": layer.kernel for number, layer in enumerate(layers)}
    optimizer = keras.optimizers.SGD(momentum=0.9)
    optimizer.build(list(weights.values()))
    found = moving_slots(optimizer, weights)
    assert [len(slots) for slots in found.values()] == [1, 1]
    assert found["0"][0] is not found["1"][0]


@pytest.mark.parametrize("first", ["frozen", "trained"])
def test_a_frozen_weight_takes_no_state_from_one_of_its_path_that_is_trained(first):
    kernels = {}
    for name in ("frozen", "trained"):
        layer = keras.layers.Dense(4, name="a", use_bias=False, trainable=name == "trained")
        layer.build((None, 4))
        kernels[name] = layer.kernel
    optimizer = keras.optimizers.Adam()
    optimizer.build([kernels["trained"]])
    weights = {name: kernels[name] for name in sorted(kernels, key=lambda name: name != first)}
    found = moving_slots(optimizer, weights)
    assert {name: len(slots) for name, slots in found.items()} == {"frozen": 0, "trained": 2}


def test_state_follows_the_order_of_training_where_paths_are_the_same():
    layers = [keras.layers.Dense(4, name="a", use_bias=False) for _ in range(2)]
    for layer in layers:
        layer.build((None, 4))
    optimizer = keras.optimizers.SGD(momentum=0.9)
    optimizer.build([layer.kernel for layer in layers])
    found = moving_slots(optimizer, {"1": layers[1].kernel, "0": layers[0].kernel})
    slots = [slot for slot in optimizer.variables if slot.name.endswith("momentum")]
    assert found["0"][0] is slots[0] and found["1"][0] is slots[1]
