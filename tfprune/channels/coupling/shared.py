"""Which channels several weights make: what masks of different layers have in common."""

from collections.abc import Mapping

import keras
import numpy as np

from tfprune.channels.coupling.book import WeightLabels
from tfprune.channels.coupling.reading import read
from tfprune.keras_graph.calls import graph_parts
from tfprune.support.by_identity import ByIdentity


def shared_channels(
    model: keras.Model, axes: Mapping[str, tuple[keras.Variable, int]]
) -> dict[str, np.ndarray]:
    """Return the numbers of the channels that weights make and others make, too.

    Left out are kernels in which several gates of each unit lie side by side. Where channels of one
    weight can only go together (behind a group normalization, in a grouped convolution), they
    keep numbers of their own, shared with weights that have all of them in the same order.

    Args:
        model: a built model, pruned or not; of a subclassed one, those with graphs that are parts
            of it are read.
        axes: name -> weight of the model, and the axis on which its channels are looked for.

    Returns:
        name -> one number for each place along the axis, of weights that share any.

    Example:
        >>> inputs, a = keras.Input((3,)), keras.layers.Dense(1, name="a")
        >>> b, c = keras.layers.Dense(1, name="b"), keras.layers.Dense(2, name="c")
        >>> joined = keras.layers.concatenate([a(inputs), b(inputs)])
        >>> model = keras.Model(inputs, keras.layers.Dense(1)(joined + c(inputs)))
        >>> shared_channels(model, {layer.name: (layer.kernel, 1) for layer in (a, b, c)})
        {'a': array([1]), 'b': array([2]), 'c': array([1, 2])}
    """
    found: dict[str, np.ndarray] = {}
    first = 0  # number that is not taken
    for part in graph_parts(model):
        book = read(part).book
        makers: ByIdentity[keras.Variable, dict[int, WeightLabels]] = ByIdentity()
        for lies in book.weights:
            if lies.makes and lies.labels.all():
                makers.setdefault(lies.weight, {}).setdefault(lies.axis, lies)
        together, apart = book.ledger.settle(), book.ledger.settle(apart=True)
        whole: dict[bytes, np.ndarray] = {}
        size = together.roots.size
        for name, (weight, axis) in axes.items():
            made = makers.get(weight, {}).get(axis % len(weight.shape))
            if name in found or made is None or made.gates > 1:
                continue
            numbers, own = together.of(made.labels), apart.of(made.labels)
            if np.unique(numbers).size < np.unique(own).size:
                fresh = np.arange(size, size + own.size)
                numbers = whole.setdefault(own.tobytes(), fresh)
                size += own.size
            found[name] = first + numbers
        first += size
    return _shared(found)


def _shared(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Leave out weights that share no number."""
    each = [np.unique(numbers) for numbers in found.values()]
    known, counts = np.unique(np.concatenate(each or [np.zeros(0, int)]), return_counts=True)
    several = known[counts > 1]
    return {name: numbers for name, numbers in found.items() if np.isin(numbers, several).any()}
