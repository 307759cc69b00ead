"""What a layer becomes: which layers with which weights, and what they cost."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfprune.compression.low_rank.matrices import Moments, Ranks, Split
from tfprune.keras_graph.chains import Chain
from tfprune.support.arrays import host_array

Fresh = Callable[[str], str]  # wanted name of a new layer -> one that the model does not have


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a weight, or the factors in its place, cost.

    Attributes:
        parameters: their number, biases not counted.
        macs: multiply-adds an example; lengths that the model leaves open count as 1.
    """

    parameters: int
    macs: int


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """One way to put several layers in the place of one.

    Attributes:
        layer: the original.
        weight: its weight that becomes several.
        method: name of the method.
        full: the largest ranks, with which nothing is lost.
        split: moments of the inputs of the weight -> how it splits.
        sizes: ranks -> number of weights of each factor.
        places: at how many places an example is multiplied by each factor.
        before: the same of the weight.
        layers: ranks, names -> the new layers, not built.
        product: kernels of the new layers -> the weight that they stand for.
        owner: which of them has all other weights of the original, and its name.
        remark: what the report says of it.
    """

    layer: keras.layers.Layer
    weight: keras.Variable
    method: str
    full: Ranks
    split: Callable[[Moments], Split]
    sizes: Callable[[Ranks], Sequence[int]]
    places: Sequence[int]
    before: int
    layers: Callable[[Ranks, Fresh], list[keras.layers.Layer]]
    product: Callable[[Sequence[np.ndarray]], np.ndarray]
    owner: int = -1
    remark: str = ""

    @property
    def original(self) -> Cost:
        """What the weight costs."""
        size = int(np.prod(self.weight.shape))
        return Cost(size, size * self.before)

    def cost(self, ranks: Ranks) -> Cost:
        """Return what the factors cost."""
        sizes = self.sizes(ranks)
        macs = sum(size * places for size, places in zip(sizes, self.places, strict=True))
        return Cost(sum(sizes), macs)

    def chain(self, ranks: Ranks, factors: Sequence[np.ndarray], fresh: Fresh) -> Chain:
        """Return the layers with their weights.

        Args:
            ranks: of the factors.
            factors: one a layer, in the shape of its kernel.
            fresh: gives names to the new layers.
        """
        weights = [[factor.astype(self.weight.dtype)] for factor in factors]
        (own,) = weights[self.owner]
        weights[self.owner] = [
            own if weight is self.weight else host_array(weight.value)
            for weight in self.layer.weights
        ]
        return Chain(self.layers(ranks, fresh), weights, self.owner)
