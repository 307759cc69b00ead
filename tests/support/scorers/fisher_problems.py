"""Small weights and gradients on which the Fisher of a block can be written out."""

import numpy as np

import tfprune
from tests.support.fake_evidence import FakeEvidence

STRUCTURES = [
    tfprune.Block(1, 4),
    tfprune.Block(4, 1),
    tfprune.Block(2, 3),
    tfprune.Channel(-1),
    tfprune.Channel(0),
]


def problem(shapes, examples=30, seed=0, **options):
    """Return weights and gradients of those shapes, in float64."""
    random = np.random.default_rng(seed)
    weights = {name: random.normal(size=shape) for name, shape in shapes.items()}
    rows = {name: random.normal(size=(examples, *shape)) for name, shape in shapes.items()}
    for name, mask in options.get("masks", {}).items():
        rows[name] *= mask
        weights[name] *= mask
    return weights, FakeEvidence(rows, **options)


def fisher_of(gradients, damping, name="w"):
    rows = gradients.per_example()[name]
    rows = rows.reshape(len(rows), -1)
    return rows.T @ rows / len(rows) + damping * np.eye(rows.shape[1])


def constrained_minimum(fisher, linear, removed, values):
    """argmin linear.delta + delta.F.delta/2 under delta = values where removed, by its KKT system.

    Returns delta and the minimum.
    """
    pick = np.eye(len(fisher))[removed]
    none = np.zeros((len(pick), len(pick)))
    system = np.block([[fisher, pick.T], [pick, none]])
    solution = np.linalg.lstsq(system, np.concatenate([-linear, values]), rcond=None)[0]
    delta = solution[: len(fisher)]
    return delta, linear @ delta + 0.5 * delta @ fisher @ delta
