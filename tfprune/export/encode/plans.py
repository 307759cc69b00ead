"""The form in which each constant is stored: the smallest of those that its readers can read.

A float32 weight may stay dense, be sparse, be stored in fewer bits, or both. The bytes of a form
are those of its values, of its segments and indices, of its scales, and of the operators and
tensors that it adds to the file.

What readers can read, found by running each operator with each form (LiteRT 2.3.0, LiteRT.js
2.5.3; `tests/export/encode/test_readers.py` runs them again):

- DENSIFY of float32 values: every operator;
- DEQUANTIZE of values in fewer bits: every operator;
- DENSIFY and then DEQUANTIZE: only operators that XNNPACK runs. It takes both over, and an operator
  that is left to LiteRT's own kernels finds nothing where they would have written;
- DENSIFY of int8 values: tables, and convolutions in int8 arithmetic. FULLY_CONNECTED, and
  convolutions of float32 by int8, do not start.

Tables are stored in fewer bits as they are: rows are taken from the narrow table, and a DEQUANTIZE
widens what was taken. That needs no wide copy of the table, neither in the file nor in memory.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfprune.export.encode import costs, layouts, narrowing
from tfprune.export.file.constants import Weight, inputs_of
from tfprune.export.file.subgraph import OPERATORS, TYPES
from tfprune.export.file.tables import Operator
from tfprune.targets.target import Target

# What an operator and the tensor that it writes, how a sparse tensor is walked, or what holds the
# scales of a tensor takes in a file, rounded up (tests check it).
STEP_BYTES = 240
WALK_BYTES = 250
SCALES_BYTES = 60

_INT8_CONVOLUTIONS = {
    OPERATORS.CONV_2D: 0,
    OPERATORS.DEPTHWISE_CONV_2D: 0,
    OPERATORS.TRANSPOSE_CONV: 2,
}  # -> the place of what they convolve


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """How one constant is stored.

    Attributes:
        narrowed: Its values.
        encoded: Those values without their zeros; None for dense ones.
        native: Whether its readers read the encoded weight themselves.
        widened_after: Whether its readers take rows of it in fewer bits.
    """

    narrowed: narrowing.Narrowed
    encoded: layouts.Encoded | None = None
    native: bool = False
    widened_after: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of values, segments, indices and scales; tensors of one buffer share them."""
        stored = self.narrowed.values if self.encoded is None else self.encoded
        return int(stored.nbytes) + self.narrowed.parameter_nbytes

    @property
    def encoding(self) -> str:
        """The name that reports give it."""
        if self.encoded is None:
            return "dense"
        block = self.encoded.layout.block
        if self.native:
            return "native rows" if block == 1 else f"native 1x{block}"
        return "densify rows" if block == 1 else f"densify block {block}"

    def cost(self, weight: Weight) -> int:
        """Bytes in the file with all that it adds for the tensors of a weight."""
        uses, readers = len(weight.uses), len(weight.readers)
        steps = uses * (self.encoded is not None and not self.native)
        if self.narrowed.kind is not None:
            steps += readers if self.widened_after else uses
        walks = uses * (self.encoded is not None)
        scaled = 0
        if self.narrowed.scales is not None:
            scaled = uses + readers * self.widened_after
        return self.nbytes + STEP_BYTES * steps + WALK_BYTES * walks + SCALES_BYTES * scaled


def plan(
    weight: Weight,
    *,
    target: Target,
    quantize: str | None,
    densify: bool,
    delegated: set[Operator],
) -> Plan:
    """The form in which a weight is stored.

    Args:
        weight: A weight, no bias.
        target: Where the file will run.
        quantize: "float16" or "int8_weights" to allow fewer bits.
        densify: Whether weights that no native kernel reads may be sparse.
        delegated: The operators that XNNPACK runs.

    Returns:
        Where a native kernel is fastest on the target, what that reads; else the smallest form.
    """
    unchanged = Plan(narrowing.unchanged(weight.values))
    if weight.fully_connected and target.costs is not None:
        dynamic = all(
            subgraph.tensor(int(reader.inputs[0])).type == TYPES.FLOAT32
            for subgraph, reader in weight.readers
        )
        rows = [subgraph.places(reader) for subgraph, reader in weight.readers]
        native = costs.fastest_native(weight.values, target.costs, dynamic=dynamic, rows=rows)
        if native is not None:
            return dataclasses.replace(unchanged, encoded=native, native=True)
    candidates = [unchanged, *_candidates(weight, target, quantize, densify, delegated)]
    return min(candidates, key=lambda each: each.cost(weight) + _bias_cost(weight, each))


def _candidates(
    weight: Weight, target: Target, quantize: str | None, densify: bool, delegated: set[Operator]
) -> Iterator[Plan]:
    values = narrowing.unchanged(weight.values)
    if weight.fully_connected and target.costs is None:
        for layout in costs.native_layouts(weight.values):
            yield Plan(values, layouts.encode(weight.values, layout), native=True)
    if densify and (weight.values.dtype == np.float32 or _expands_integers(weight)):
        yield Plan(values, layouts.smallest(weight.values))
    narrowed = narrowing.narrow(weight, quantize)
    if narrowed.kind is None:
        return
    yield Plan(narrowed, widened_after=weight.is_table)
    readable = weight.is_table or {reader for _, reader in weight.readers} <= delegated
    if densify and readable:
        yield Plan(narrowed, layouts.smallest(narrowed.values), widened_after=weight.is_table)


def _expands_integers(weight: Weight) -> bool:
    """Whether all readers of an int8 weight take it from a DENSIFY."""
    return weight.is_table or all(
        (place := _INT8_CONVOLUTIONS.get(subgraph.code(reader))) is not None
        and subgraph.tensor(int(reader.inputs[place])).type == TYPES.INT8
        for subgraph, reader in weight.readers
    )


def _bias_cost(weight: Weight, made: Plan) -> int:
    """What a form costs besides: with a float16 weight goes a float16 bias."""
    if made.narrowed.kind != TYPES.FLOAT16:
        return 0
    found = 0
    for subgraph, reader in weight.readers:
        _, bias = inputs_of(subgraph, reader)
        values = None if bias is None else subgraph.constant(bias)
        found += 0 if values is None else STEP_BYTES - values.nbytes // 2
    return found
