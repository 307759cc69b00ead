"""A small network whose channels go while it is trained, and its training."""

import keras
import numpy as np
from keras import layers

X = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype("float32")
Y = np.random.default_rng(1).integers(0, 4, 64)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
OTHERS = [("head/.*", None)]


def residual(width=8):
    """A stem and a block that are added up, and a layer without a normalization."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(width, 3, name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    y = layers.Conv2D(width, 3, use_bias=False, name="block", padding="same")(x)
    x = layers.ReLU()(x + layers.BatchNormalization(name="second")(y))
    x = layers.Conv2D(12, 3, activation="relu", name="last")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(4, name="head")(x))


def fit(model, taylor, epochs=2, optimizer=None, **options):
    if not model.compiled:
        model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), LOSS)
    options = {"batch_size": 8, "verbose": 0, "shuffle": False, **options}
    return model.fit(X, Y, epochs=epochs, callbacks=[taylor], **options)


def parts(plan):
    return {part.group.name: part for part in plan.groups}
