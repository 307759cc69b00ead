"""Evidence held in memory, so that scorers are tested without a model."""

import numpy as np

from tfprune.sparsity.structures import Unstructured


class FakeEvidence:
    """What scorers ask for, from per-example gradients and a Hessian that a test chose.

    Args:
        per_example: name -> (N, *shape).
        hessian: (n, n) over all weights in order, flattened and joined; zeros by default.
        structures: name -> structure; unstructured by default.
        masks: name -> boolean array; all kept by default.
        gates, curvature: name -> (N, channels) gate derivatives of each example.
        inputs: name -> LayerInputs.
        groups: sets of names whose output channels are coupled.
    """

    def __init__(
        self,
        per_example,
        hessian=None,
        *,
        structures=None,
        masks=None,
        gates=None,
        curvature=None,
        inputs=None,
        groups=(),
    ):
        self._per_example = per_example
        self.shapes = {name: value.shape[1:] for name, value in per_example.items()}
        self.examples = len(next(iter(per_example.values())))
        self._given_hessian = hessian
        self.structures = structures or dict.fromkeys(per_example, Unstructured())
        self.masks = masks or {n: np.ones(shape, bool) for n, shape in self.shapes.items()}
        self._gates, self._curvature = gates or {}, curvature or {}
        self._inputs, self._groups = inputs or {}, groups

    @property
    def _hessian(self):
        if self._given_hessian is not None:
            return self._given_hessian
        size = sum(int(np.prod(shape)) for shape in self.shapes.values())
        return np.zeros((size, size))

    def mean(self):
        return {name: value.mean(axis=0) for name, value in self._per_example.items()}

    def batches(self, size):
        return _means(self._per_example, size)

    def per_example(self):
        return self._per_example

    def hessian_diagonal(self, probes=None):
        return self._split(np.diagonal(self._hessian))

    def hessian_vector_product(self, vectors):
        flat = np.concatenate([vectors[name].ravel() for name in self.shapes])
        return self._split(self._hessian @ flat)

    def synaptic_flow(self):
        return self.mean()

    def layer_inputs(self):
        return self._inputs

    def gates(self, size):
        return _means(self._gates, size)

    def gate_curvature(self, size):
        return _means(self._curvature, size)

    def channel_groups(self):
        return self._groups

    def _split(self, flat):
        found, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + int(np.prod(shape))
            found[name] = np.array(flat[start:stop]).reshape(shape)
            start = stop
        return found


def _means(arrays, size):
    count = len(next(iter(arrays.values())))
    for start in range(0, count, size):
        yield {n: a[start : start + size].mean(axis=0, keepdims=True) for n, a in arrays.items()}
