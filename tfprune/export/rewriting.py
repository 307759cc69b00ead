"""Choosing how to rewrite a network, by how long each way is expected to take."""

from collections.abc import Iterator

import numpy as np

from tfprune.export import rewrites
from tfprune.export.file.subgraph import Subgraph
from tfprune.export.file.tables import Model
from tfprune.export.predict import durations
from tfprune.targets.target import Target

_STORED_BYTES = 5  # a float32 value and its place in a row
_NO_LINES = "Convolutions along one axis stay dense: on sparse kernels, the network would take"
_CLOSE = 1.1  # what is so much slower, and smaller, is as good


def candidates(
    model: Model, target: Target, *, lower_conv3x3: bool
) -> Iterator[tuple[Model, tuple[str, ...]]]:
    """The ways to write a model that are expected to be faster than it is, best first.

    The network as it is, with its padding, pools and constants changed, comes last in any case: it
    computes no more than before.

    Args:
        model: The converter's dense model.
        target: Where it will run, one with sparse convolutions.
        lower_conv3x3: Whether larger convolutions may be written as 1x1 ones.

    Yields:
        The rewritten model and a sentence for each rewrite.
    """
    least, *ways = rewrites.ways(model, lower_conv3x3)
    plain = rewrites.apply(model, least)
    if plain[0] is model:
        yield plain
        return
    dense = durations.nanoseconds(model, target)
    most = 4 * sum(map(np.size, _constants(model)))
    found = [(durations.nanoseconds(plain[0], target), 0, plain)]
    for way in ways:
        made = rewrites.apply(model, way)
        size = _STORED_BYTES * sum(map(np.count_nonzero, _constants(made[0])))
        if size <= most:
            found.append((durations.nanoseconds(made[0], target), size, made))
    fastest = min(nanoseconds for nanoseconds, *_ in found)
    found.sort(key=lambda each: (max(each[0], _CLOSE * fastest), each[1]))
    better = [made for nanoseconds, _, made in found if nanoseconds < dense]
    yield from better
    if not any(made is plain for made in better):
        said = plain[1]
        times = [nanoseconds / dense for nanoseconds, _, made in found if made is not plain]
        if times and ways[0].line and lower_conv3x3 and not better:
            said += (f"{_NO_LINES} {min(times):.2f} times as long.",)
        yield plain[0], said


def _constants(model: Model) -> list[np.ndarray]:
    """The float32 constants of the main subgraph, each once."""
    subgraph = Subgraph(model, model.subgraphs[0])
    buffers = {subgraph.tensor(index).buffer: index for index in range(len(subgraph.table.tensors))}
    values = (subgraph.constant(index) for index in buffers.values())
    return [each for each in values if each is not None and each.dtype == np.float32]
