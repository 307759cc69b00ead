"""How long a file takes where XNNPACK has sparse kernels, roughly: to choose between rewrites.

An operator takes a time for each multiply-add or value, by its kernel. The rates were fitted by
`scripts.bench.coverage.rates` to what networks took in WebAssembly (LiteRT.js 2.5.3) on one x86-64
core, written in different ways; only ratios of sums are used, to tell which of them is faster.
"""

import collections
import math

from tfprune.export.file.decoding import Constants
from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Model, Operator
from tfprune.export.predict import clusters
from tfprune.export.predict.nchw import Setting
from tfprune.targets.target import Target

# Nanoseconds of one.
RATES = {
    "dense": 0.0494,
    "sparse": 0.0872,
    "row": 0.172,
    "depthwise": 0.115,
    "value": 0.332,
    "moved": 1.25,
}
_FEWEST = 8  # places
_PRODUCTS = (OPERATORS.CONV_2D, OPERATORS.FULLY_CONNECTED, OPERATORS.TRANSPOSE_CONV)
_MOVES = frozenset(
    getattr(OPERATORS, name)
    for name in (
        "CONCATENATION DEPTH_TO_SPACE GATHER PAD RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR "
        "REVERSE_V2 SLICE SPACE_TO_DEPTH STRIDED_SLICE TRANSPOSE"
    ).split()
)


def nanoseconds(model: Model, target: Target) -> float:
    """What the main subgraph takes for one inference.

    Args:
        model: A model, encoded or not.
        target: Where it runs, one with sparse convolutions.
    """
    return sum(RATES[kind] * count for kind, count in counts(model, target).items())


def counts(model: Model, target: Target) -> dict[str, float]:
    """How much there is of what takes time: kind -> its number, kinds as in the rates."""
    subgraph = Subgraph(model, model.subgraphs[0])
    constants = Constants(subgraph)
    sparse = clusters.predict(Setting(subgraph, constants, target.mixes_widths, True)).sparse
    fused = _fused_pads(subgraph)
    found: collections.Counter[str] = collections.Counter()
    for position, operator in enumerate(subgraph.operators):
        if not constants.is_expanded(operator) and operator not in fused:
            found.update(_count(subgraph, constants, operator, position in sparse))
    return dict(found)


def _fused_pads(subgraph: Subgraph) -> set[Operator]:
    """The PADs that cost nothing, as XNNPACK makes them part of a convolution."""
    readers, convolutions = subgraph.readers(), (OPERATORS.CONV_2D, OPERATORS.DEPTHWISE_CONV_2D)
    return {
        operator
        for operator in subgraph.operators
        if subgraph.code(operator) == OPERATORS.PAD
        and all(subgraph.code(r) in convolutions for r in readers.get(int(operator.outputs[0]), ()))
    }


def _count(
    subgraph: Subgraph, constants: Constants, operator: Operator, sparse: bool
) -> dict[str, float]:
    code, output = subgraph.code(operator), subgraph.shape(int(operator.outputs[0]))
    if code in _PRODUCTS:
        weight = int(operator.inputs[1])
        size = math.prod(subgraph.shape(weight))
        places = math.prod(output[:-1])
        if code == OPERATORS.TRANSPOSE_CONV:
            places = math.prod(subgraph.shape(int(operator.inputs[2]))[:-1])
        if sparse:
            nonzeros = size - (constants.zeros(weight) or 0)
            # A kernel computes several places at once, and takes hardly less time for fewer.
            places = max(places, _FEWEST * output[0] + 3 * places // 4)
            return {"sparse": places * nonzeros, "row": places * output[-1]}
        return {"dense": places * size}
    if code == OPERATORS.DEPTHWISE_CONV_2D:
        _, height, width, _ = subgraph.shape(int(operator.inputs[1]))
        # Two rows are computed at once, also where there is one.
        wasted = (height + 1) / 2 if output[1] == 1 else 1
        return {"depthwise": wasted * math.prod(output) * height * width}
    values = max(math.prod(output), math.prod(subgraph.shape(int(operator.inputs[0]))))
    return {"moved" if code in _MOVES else "value": values}
