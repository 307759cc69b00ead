"""What evidence and plans say of small models with the same weights on any backend, as arrays."""

import keras
import numpy as np

import tfprune
from tfprune.calibration.evidence import evidence_of

layers = keras.layers
NAMES = ("dense", "convolutional", "embedded", "attentive", "volumes")


def measured(name):
    """Return what is asked -> array, by weight: all that there is of "dense", some of the others.

    Args:
        name: of the model.
    """
    numbers = np.random.default_rng(0)
    model = _MODELS[name]()
    weights = [numbers.uniform(0.1, 1, w.shape).astype("float32") for w in model.get_weights()]
    signs = [numbers.choice([-0.5, 0.5], w.shape) if w.ndim > 1 else 1.0 for w in weights]
    model.set_weights([w * sign for w, sign in zip(weights, signs)])
    x, y = numbers.normal(size=(7, 6)).astype("float32"), numbers.normal(size=(7, 3))
    if name == "embedded":
        x = numbers.integers(0, 9, x.shape)
    pruned, _ = tfprune.one_shot(model, 0.4, "magnitude", (x, y), refresh_batch_norm=False)
    evidence = evidence_of(pruned, (x, y), "mse")
    shapes = {path: mask.shape for path, mask in evidence.masks.items()}
    vectors = {k: numbers.normal(size=s).astype("float32") for k, s in shapes.items()}
    found = {"example": evidence.per_example()}
    if name == "convolutional":
        gated = evidence.only([path for path in evidence.masks if "gated" in path])
        found |= {f"gates {k}": batch for k, batch in enumerate(gated.gates(3))}
        found |= {f"curvature {k}": batch for k, batch in enumerate(gated.gate_curvature(4))}
        found |= {"flow": evidence.synaptic_flow()}
    if name in ("dense", "embedded"):
        found |= {"product": evidence.hessian_vector_product(vectors)}
    if name == "dense":
        found |= {f"batch {k}": batch for k, batch in enumerate(evidence.batches(3))}
        found |= {
            "mean": evidence.mean(),
            "dense mean": evidence.dense_mean(),
            "diagonal": evidence.hessian_diagonal(),
            "estimate": evidence.hessian_diagonal(probes=3),
        }
    return {f"{asked} {path}": v for asked, by in found.items() for path, v in by.items()}


def channel_scores():
    """Return scorer -> what a plan of channels scores."""
    numbers = np.random.default_rng(0)
    parts = [
        part
        for filters in (6, 5)
        for part in (
            layers.Conv2D(filters, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("tanh"),
        )
    ]
    ends = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *parts, *ends])
    model.set_weights([numbers.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    data = numbers.normal(size=(16, 8, 8, 1)).astype("float32"), numbers.integers(0, 3, 16)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    scorers = {
        "first order": tfprune.scorers.Taylor(on="gates"),
        "second order": tfprune.scorers.Taylor(on="gates", order=2),
        "fisher": tfprune.scorers.Fisher(),
    }
    plans = {
        name: tfprune.channels.plan(model, 0.5, scorer=scorer, data=data, loss=loss)
        for name, scorer in scorers.items()
    }
    return {name: np.concatenate([g.scores for g in p.groups]) for name, p in plans.items()}


def _dense():
    parts = [layers.Dense(5, "tanh", name="in"), layers.Dense(3, name="out")]
    return keras.Sequential([keras.Input((6,)), *parts], name="net")


def _convolutional():
    parts = [
        layers.Reshape((3, 2, 1)),
        layers.Conv2D(4, 2, padding="same", name="gated"),
        layers.BatchNormalization(),
        layers.Activation("gelu"),
        layers.DepthwiseConv2D(2, padding="same", name="depthwise"),
        layers.Dropout(0.5),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, name="out"),
    ]
    return keras.Sequential([keras.Input((6,)), *parts], name="net")


def _embedded():
    parts = [
        layers.Embedding(9, 4, mask_zero=True, name="table"),
        layers.LSTM(3, name="lstm"),
        layers.Dense(3, name="out"),
    ]
    return keras.Sequential([keras.Input((6,), dtype="int32"), *parts], name="net")


def _volumes():
    parts = [
        layers.Reshape((3, 2, 1, 1)),
        layers.Conv3D(4, (2, 1, 1), name="first"),
        layers.Conv3D(4, (1, 2, 1), groups=2, name="grouped"),
        layers.Conv3DTranspose(2, (2, 1, 1), name="transposed"),
        layers.Flatten(),
        layers.Dense(3, name="out"),
    ]
    return keras.Sequential([keras.Input((6,)), *parts], name="net")


def _attentive():
    inputs = keras.Input((6,))
    x = layers.Reshape((3, 2))(inputs)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.Flatten()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(3, name="out")(x), name="net")


_MODELS = {name: globals()[f"_{name}"] for name in NAMES}
