"""Whether weights hold an N:M pattern: at most N nonzeros in every M inputs."""

import dataclasses
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Held:
    """What a weight has of a pattern.

    Attributes:
        name: The weight.
        groups: Groups of M consecutive inputs; the last along an axis may be shorter.
        exceeding: Those with more than N nonzeros.
    """

    name: str
    groups: int
    exceeding: int

    def __str__(self) -> str:
        if not self.exceeding:
            return f"{self.name}: yes"
        return f"{self.name}: no, {self.exceeding:,} of {self.groups:,} groups have more"


def held(name: str, nonzero: np.ndarray, pattern: tuple[int, int], axis: int) -> Held:
    """Count the groups of a weight that a pattern does not allow.

    Args:
        name: the weight.
        nonzero: where it is not zero, of rank >= 1.
        pattern: (N, M).
        axis: the axis along which M entries form a group.

    Example:
        >>> held("kernel", np.eye(4, 2) > 0, (1, 4), -2).exceeding
        0
    """
    kept, size = pattern
    rows = np.moveaxis(nonzero, axis if nonzero.ndim > 1 else 0, -1)
    short = -rows.shape[-1] % size
    rows = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, short)])
    counts = np.count_nonzero(rows.reshape(-1, size), axis=1)
    return Held(name, counts.size, int(np.count_nonzero(counts > kept)))


def of_file(path: str, pattern: tuple[int, int]) -> Iterator[Held]:
    """Each constant that a layer of a .tflite file multiplies by, expanded if it is sparse."""
    from tfprune.export.file import flatbuffer
    from tfprune.export.file.constants import INPUTS
    from tfprune.export.file.decoding import Constants
    from tfprune.export.file.subgraph import OPERATORS, subgraphs
    from tfprune.export.predict import verdicts

    model, _ = flatbuffer.read(path)
    for subgraph in subgraphs(model):
        constants = Constants(subgraph)
        seen = set()
        for layer in verdicts.layers(subgraph, constants):
            code, source = subgraph.code(layer.operator), constants.source(layer.weight)[0]
            nonzero = constants.nonzero(source)
            if code not in INPUTS or source in seen or nonzero is None or nonzero.ndim < 2:
                continue
            seen.add(source)
            # TFLite has the inputs of a layer last, but for convolutions over volumes.
            axis = -2 if code == OPERATORS.CONV_3D else -1
            yield held(subgraph.name(source), nonzero, pattern, axis)
