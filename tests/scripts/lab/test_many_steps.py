"""scripts/lab/many_steps.py: an epoch in one call trains as Keras's own loop does."""

import keras
import numpy as np
from keras import layers

from scripts.lab import many_steps
from tests.support.jax_session import run_on_jax

CODE = """
import keras, numpy as np
from keras import layers
import tfprune
from scripts.lab import many_steps, measuring
from scripts.studies.structured.known_outputs import with_known_teacher

class Recorded(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []
    def on_train_begin(self, logs=None): self.seen.append("begin")
    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((epoch, int(self.model.optimizer.iterations), self.model.get_weights()))
    def on_train_end(self, logs=None): self.seen.append("end")

def trained(device):
    keras.utils.set_random_seed(0)
    student, teacher = (
        keras.Sequential([
            layers.Input((4,)), layers.Dense(units, "relu"), layers.BatchNormalization(),
            layers.Dropout(0.0), layers.Dense(3),
        ])
        for units in (5, 8)
    )
    model = tfprune.distill(*with_known_teacher(student))
    rate = keras.optimizers.schedules.CosineDecay(0.1, 12)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9, weight_decay=1e-3), loss)
    model.optimizer.build(model.trainable_variables)
    random, seen = np.random.default_rng(0), Recorded()
    images = random.normal(size=(12, 6, 4)).astype("float32")
    batches = [((x, teacher.predict_on_batch(x)), random.integers(0, 3, 6)) for x in images]
    measuring.accelerator, before = lambda: device, measuring.accelerator
    try:
        many_steps.fit(model, batches[4:], epochs=3, initial_epoch=1, steps_per_epoch=4,
                       callbacks=[seen])
    finally:
        measuring.accelerator = before
    return student, seen.seen

(one, seen), (other, expected) = trained("an accelerator"), trained(None)
assert seen[0] == expected[0] == "begin" and seen[-1] == expected[-1] == "end"
for (epoch, steps, weights), (own_epoch, own_steps, own) in zip(seen[1:-1], expected[1:-1]):
    assert (epoch, steps) == (own_epoch, own_steps)
    for a, b in zip(weights, own, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
assert [each[:2] for each in seen[1:-1]] == [(1, 4), (2, 8)]
assert not np.allclose(one.get_weights()[2], 1)  # the batch normalization's scale was trained
"""

PRUNED = """
import keras, numpy as np
from keras import layers
import tfprune
from scripts.lab import many_steps

class Recorded(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = {}
    def on_train_batch_end(self, batch, logs=None):
        masks = [np.array(v) for v in self.model.variables if "mask" in v.path]
        self.seen[int(self.model.optimizer.iterations)] = masks

def trained(in_one_call):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((4,)), layers.Dense(9, "relu"), layers.Dense(3)])
    rising = tfprune.PolynomialDecay(0.0, 0.8, begin_step=3, end_step=9, frequency=2)
    pruned = tfprune.prune(model, rising)
    pruned.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    pruned.optimizer.build(pruned.trainable_variables)
    random, seen = np.random.default_rng(0), Recorded()
    batches = [(random.normal(size=(6, 4)).astype("float32"), random.normal(size=(6, 3)))
               for _ in range(12)]
    many_steps.fit(pruned, batches, epochs=3, initial_epoch=0, steps_per_epoch=4,
                   callbacks=[tfprune.UpdatePruningStep(), seen], in_one_call=in_one_call)
    return seen.seen, tfprune.strip_pruning(pruned)

(seen, one), (expected, other) = trained(True), trained(False)
assert sorted(seen) == [3, 4, 5, 7, 8, 9, 12], sorted(seen)  # updates, and ends of epochs
for step, masks in seen.items():
    for a, b in zip(masks, expected[step], strict=True):
        np.testing.assert_array_equal(a, b)
for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
assert (one.layers[0].kernel == 0).sum() == 29, (one.layers[0].kernel == 0).sum()
"""


def test_calls_end_where_masks_are_updated():
    run_on_jax(PRUNED)


def test_an_epoch_in_one_call_is_the_one_that_keras_trains_step_by_step():
    run_on_jax(CODE)


def test_without_an_accelerator_it_is_the_model_s_own_fit():
    model = keras.Sequential([layers.Input((2,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    batches = [(np.ones((3, 2), "float32"), np.zeros((3, 1), "float32"))] * 6
    before = model.get_weights()[0]
    many_steps.fit(model, batches, epochs=3, initial_epoch=1, steps_per_epoch=3)
    assert int(model.optimizer.iterations) == 6
    assert not np.allclose(before, model.get_weights()[0])
