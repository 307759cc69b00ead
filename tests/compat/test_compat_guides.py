"""What the four pruning guides of tensorflow-model-optimization do, with the import line changed.

Each test is one guide's course of steps, in own words and on small models: the comprehensive guide,
pruning with Keras, pruning for on-device inference (XNNPACK), and structural (m by n) pruning.
"""

import gzip
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfprune.compat import tfmot

X = np.random.default_rng(0).normal(size=(40, 20)).astype("float32")
Y = np.arange(40) % 4


def classifier():
    return keras.Sequential(
        [keras.Input((20,)), layers.Dense(16, "relu"), layers.Flatten(), layers.Dense(4)]
    )


def train(model, x=X, y=Y, epochs=1, callbacks=None):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    updates = [tfmot.sparsity.keras.UpdatePruningStep()] if callbacks is None else callbacks
    model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=updates)
    return model


def zeros(model):
    kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]
    return [float(np.mean(kernel == 0)) for kernel in kernels]


class Own(layers.Dense, tfmot.sparsity.keras.PrunableLayer):
    """A layer of the user's that also has its bias pruned."""

    def get_prunable_weights(self):
        return [self.kernel, self.bias]


def test_guide_1_a_whole_model_some_layers_own_layers_and_a_checkpoint(tmp_path):
    base = train(classifier(), callbacks=[])
    base.save_weights(tmp_path / "base.weights.h5")
    whole = classifier()
    whole.load_weights(tmp_path / "base.weights.h5")
    whole = tfmot.sparsity.keras.prune_low_magnitude(whole)
    whole.summary(print_fn=lambda text, **kwargs: None)
    assert zeros(tfmot.sparsity.keras.strip_pruning(train(whole))) == [0.5, 0.5]

    def apply_to_dense(layer):
        is_dense = isinstance(layer, layers.Dense)
        return tfmot.sparsity.keras.prune_low_magnitude(layer) if is_dense else layer

    some = keras.models.clone_model(base, clone_function=apply_to_dense)
    assert sum(isinstance(layer, layers.Dense) for layer in some.layers) == 0
    inputs = keras.Input((20,))
    x = tfmot.sparsity.keras.prune_low_magnitude(layers.Dense(10))(inputs)
    functional = keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))
    assert zeros(tfmot.sparsity.keras.strip_pruning(train(functional))) == [0.5, 0.0]
    own = keras.Sequential([keras.Input((20,)), tfmot.sparsity.keras.prune_low_magnitude(Own(4))])
    train(own)
    stripped = tfmot.sparsity.keras.strip_pruning(own)
    assert np.mean(stripped.layers[0].bias.numpy() == 0) == 0.5

    file = tmp_path / "pruned.keras"
    with tfmot.sparsity.keras.prune_scope():
        train(some).save(file)
        loaded = keras.models.load_model(file)
    assert np.array_equal(loaded.predict(X, verbose=0), some.predict(X, verbose=0))
    assert zeros(tfmot.sparsity.keras.strip_pruning(loaded)) == [0.5, 0.5]


def test_guide_2_polynomial_decay_tensorboard_and_a_smaller_file(tmp_path):
    end_step = int(np.ceil(40 / 8)) * 3
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.5, final_sparsity=0.8, begin_step=0, end_step=end_step, frequency=2
    )
    base = train(classifier(), callbacks=[])
    pruned = tfmot.sparsity.keras.prune_low_magnitude(base, pruning_schedule=schedule)
    logs = tempfile.mkdtemp(dir=tmp_path)
    callbacks = [
        tfmot.sparsity.keras.UpdatePruningStep(),
        tfmot.sparsity.keras.PruningSummaries(log_dir=logs),
    ]
    train(pruned, epochs=3, callbacks=callbacks)
    assert any(Path(logs).rglob("*events*"))
    plain = tfmot.sparsity.keras.strip_pruning(pruned)
    assert zeros(plain) == pytest.approx([0.8, 0.8], abs=0.01)

    def zipped(model, name):
        model.save(tmp_path / name, include_optimizer=False)
        return len(gzip.compress(model.layers[0].kernel.numpy().tobytes()))

    assert zipped(plain, "pruned.keras") < zipped(base, "base.keras")
    converted = tf.lite.TFLiteConverter.from_keras_model(plain).convert()
    assert len(converted) > 0


def mobile_network():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(8, 3, strides=2, padding="valid"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.Conv2D(16, 1),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.GlobalAveragePooling2D(keepdims=True),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )


def test_guide_3_the_policy_for_xnnpack_prunes_the_1x1_convolutions():
    policy = tfmot.sparsity.keras.PruneForLatencyOnXNNPack()
    pruned = tfmot.sparsity.keras.prune_low_magnitude(mobile_network(), pruning_policy=policy)
    x = np.random.default_rng(1).normal(size=(8, 12, 12, 3)).astype("float32")
    train(pruned, x, Y[:8])
    plain = tfmot.sparsity.keras.strip_pruning(pruned)
    assert zeros(plain) == [0.0, 0.5, 0.0]


def test_guide_4_two_zeros_in_every_four_weights():
    m_by_n = {"sparsity_m_by_n": (2, 4)}
    base = classifier()
    pruned = keras.Sequential(
        [
            keras.Input((20,)),
            tfmot.sparsity.keras.prune_low_magnitude(base.layers[0], **m_by_n),
            base.layers[1],
            base.layers[2],
        ]
    )
    plain = tfmot.sparsity.keras.strip_pruning(train(pruned))
    kernel = plain.layers[0].kernel.numpy()
    groups = np.moveaxis(kernel, -2, -1).reshape(-1, 4)
    assert (np.count_nonzero(groups, axis=1) <= 2).all()
    assert zeros(plain) == [0.5, 0.0]


def test_a_loop_that_calls_the_callback_before_batches_and_after_epochs_is_enough(tmp_path):
    """The custom training loop of the guide "Pruning comprehensive", in words of our own."""
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(20), keras.layers.Dense(5)])
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, 0.8, 0, 6, frequency=1)
    pruned = tfmot.sparsity.keras.prune_low_magnitude(model, schedule)
    pruned.optimizer = keras.optimizers.Adam()
    masks = tfmot.sparsity.keras.UpdatePruningStep()
    board = tfmot.sparsity.keras.PruningSummaries(log_dir=str(tmp_path))
    masks.set_model(pruned)
    board.set_model(pruned)
    x, y = np.ones((4, 20), "float32"), np.ones((4, 5), "float32")
    achieved = []
    masks.on_train_begin()
    for _ in range(3):
        board.on_epoch_begin(epoch=-1)
        for _ in range(2):
            masks.on_train_batch_begin(batch=-1)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((pruned(x, training=True) - y) ** 2)
            gradients = tape.gradient(loss, pruned.trainable_variables)
            pruned.optimizer.apply_gradients(zip(gradients, pruned.trainable_variables))
        masks.on_epoch_end(batch=-1)
        achieved.append(1.0 - np.mean(pruned.layers[0].pruned[0].mask.numpy()))
    assert 0.0 < achieved[0] < achieved[1] < achieved[2] == pytest.approx(0.8)
    stripped = tfmot.sparsity.keras.strip_pruning(pruned)
    assert np.mean(np.array(stripped.layers[0].kernel) == 0.0) == pytest.approx(0.8)
