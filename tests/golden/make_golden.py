"""Writes the files beside it, which later versions must load and go on training.

    python tests/golden/make_golden.py

Made once, with tfprune 0.1.0 before its modules were moved into folders, and never again: they
stand for the files that users have.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

import tfprune

HERE = Path(__file__).parent


def examples():
    """32 examples of 8 features, and two outputs."""
    random = np.random.default_rng(0)
    return random.normal(size=(32, 8)).astype("float32"), random.normal(size=(32, 2)).astype(
        "float32"
    )


def plain():
    """A network with every part that a file has to bring back."""
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.Reshape((4, 4), name="steps"),
            layers.LSTM(4, name="lstm"),
            layers.Dense(2, name="out"),
        ],
        name="golden",
    )


def pruned():
    """The network, pruned for x86 by WoodFisher scores."""
    return tfprune.prune(
        plain(),
        tfprune.PolynomialDecay(0.0, 0.5, begin_step=0, end_step=8, frequency=2),
        scorer=tfprune.scorers.WoodFisher(damping=1e-4, block_size=8),
        structure=tfprune.structures_for("x86"),
        rules=[("out/kernel", 0.25)],
    )


def callback():
    return tfprune.UpdatePruningStep(data=examples(), loss="mse", examples=16, verbose=False)


def zeros(model):
    """The number of zeros in each weight of the stripped model."""
    return [np.count_nonzero(weight == 0) for weight in tfprune.strip_pruning(model).get_weights()]


def main():
    keras.utils.set_random_seed(0)
    model = pruned()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x, y = examples()
    model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0, callbacks=[callback()])
    model.save(HERE / "pruned.keras")
    model.save_weights(HERE / "pruned.weights.h5")
    rounded = tfprune.quantize_aware(model, bits=8)
    rounded.save(HERE / "quantized.keras")
    before = model.predict(x, verbose=0)
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=[callback()])
    np.savez(
        HERE / "expected.npz",
        before=before,
        rounded=rounded.predict(x, verbose=0),
        after=model.predict(x, verbose=0),
        zeros=zeros(model),
    )


if __name__ == "__main__":
    main()
