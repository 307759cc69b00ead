"""Rotating the whole network by 180 degrees.

TensorFlow pads a strided convolution of an even input by (0, 1): nothing above, one row below.
XNNPACK's sparse mode wants (1, 1). Below, a further row would never be read, so (1, 0) could be
widened; so turn the network around: flip height and width of the inputs and of every kernel, and
the padding becomes (1, 0). The flipped network computes every tensor flipped, with the same
products in another order.

Each tensor is *plain* or *rotated*. Operators that commute with the rotation (`invariance`) carry
it on; before any other, and at outputs, a REVERSE_V2 makes the tensor plain again.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import OPERATORS, TYPES, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.rewrites import invariance, tensors, windows

_REVERSE_VERSIONS = {TYPES.INT16: 2, TYPES.INT8: 3}


@dataclasses.dataclass
class _Plan:
    """What to rotate.

    Attributes:
        rotated: The tensors that exist rotated.
        sources: Those among them that a REVERSE_V2 makes from the plain tensor.
        undone: Those that something reads plain.
        moved: The operators that run on rotated tensors.
        convolutions: Those among them with a kernel larger than 1x1 and a stride, their windows.
    """

    rotated: set[int] = dataclasses.field(default_factory=set)
    sources: set[int] = dataclasses.field(default_factory=set)
    undone: set[int] = dataclasses.field(default_factory=set)
    moved: set[Operator] = dataclasses.field(default_factory=set)
    convolutions: list[windows.Window] = dataclasses.field(default_factory=list)


class _NotApplicable(Exception):
    """Why the network cannot be rotated."""


def apply(subgraph: Subgraph, *, grow: bool = False) -> tuple[str, ...]:
    """Rotate the network if that gives every strided convolution symmetric padding.

    Args:
        subgraph: The subgraph, changed in place.
        grow: Whether kernels may grow by rows and columns of zeros, which a strided convolution
            that leaves out the last input needs; they cost time unless they are lowered.

    Returns:
        One sentence if there is any convolution that the rotation is meant for.
    """
    producers = subgraph.producers()
    try:
        plan = _plan(subgraph, producers, grow)
    except _NotApplicable as error:
        return (f"The network is not rotated: {error}.",)
    if plan is None:
        return ()
    _Rotation(subgraph, plan, producers).run()
    gained = sum(not window.symmetric for window in plan.convolutions)
    ends = len(plan.undone - plan.sources)
    return (
        f"The network is rotated by 180 degrees, which gives {gained} strided convolutions "
        f"symmetric padding; REVERSE_V2 at {len(plan.sources)} inputs and {ends} ends.",
    )


def _plan(subgraph: Subgraph, producers: dict[int, Operator], grow: bool) -> _Plan | None:
    """The plan, or None where nothing would be gained."""
    strided = [
        (operator, window)
        for operator in subgraph.operators
        if subgraph.code(operator) in windows.CONVOLUTIONS
        for window in [windows.read(subgraph, operator, producers)]
        if window.strided and any(axis.kernel > 1 for axis in window.axes)
    ]
    if all(window.symmetric for _, window in strided):
        return None
    for operator, window in strided:
        if not all(axis.rotated.symmetric for axis in window.axes):
            name = _describe(subgraph, operator)
            raise _NotApplicable(f"{name} would have no symmetric padding either way")
    plan = _spread(subgraph, producers)
    plan.convolutions = [window for _, window in strided]
    for operator in subgraph.operators:
        if operator in plan.moved and subgraph.code(operator) in windows.CONVOLUTIONS:
            _check_convolution(subgraph, operator, producers, grow)
    return plan


def _spread(subgraph: Subgraph, producers: dict[int, Operator]) -> _Plan:
    """Follow the rotation from the inputs to where it must end."""
    plan, wanted = _Plan(), _wanted(subgraph, producers)
    given = set(subgraph.inputs)
    plan.sources = {index for index in given if index in wanted}
    plan.rotated = set(plan.sources)
    derived: set[int] = set()
    ended = None
    for operator in subgraph.operators:
        spatial = _spatial(subgraph, operator.inputs)
        convolution = subgraph.code(operator) in windows.CONVOLUTIONS
        moves = (
            bool(spatial)
            and (convolution or bool(plan.rotated & spatial))
            and invariance.commutes(subgraph, operator, producers)
        )
        if moves:
            plain = spatial - plan.rotated
            if plain & derived:
                name = _describe(subgraph, ended if ended is not None else operator)
                raise _NotApplicable(f"it would have to end before {name} and begin again after it")
            plan.sources |= plain
            plan.moved.add(operator)
            plan.rotated |= plain | _spatial(subgraph, operator.outputs)
        elif plan.rotated & spatial:
            plan.undone |= plan.rotated & spatial
            ended = operator
        if (plan.rotated | derived) & set(map(int, operator.inputs)):
            derived |= set(map(int, operator.outputs))
    plan.undone |= plan.rotated & set(subgraph.outputs)
    return plan


def _wanted(subgraph: Subgraph, producers: dict[int, Operator]) -> set[int]:
    """The spatial tensors that reach a convolution through operators that commute."""
    wanted: set[int] = set()
    for operator in reversed(subgraph.operators):
        spatial = _spatial(subgraph, operator.inputs)
        convolution = subgraph.code(operator) in windows.CONVOLUTIONS
        if convolution or wanted & set(map(int, operator.outputs)):
            if spatial and invariance.commutes(subgraph, operator, producers):
                wanted |= spatial
    return wanted


def _spatial(subgraph: Subgraph, indices: Iterable[int]) -> set[int]:
    """The spatial tensors among some, constants left out."""
    return {
        int(index)
        for index in indices
        if index >= 0
        and tensors.is_spatial(subgraph, index)
        and subgraph.constant(int(index)) is None
    }


def _check_convolution(
    subgraph: Subgraph, operator: Operator, producers: dict[int, Operator], grow: bool
) -> None:
    """Raise where the rotated windows of a convolution cannot be written."""
    window = windows.read(subgraph, operator, producers)
    if all(axis.end >= 0 for axis in window.axes):
        return
    options = operator.builtinOptions
    growable = subgraph.code(operator) == OPERATORS.CONV_2D and (
        (options.dilationHFactor, options.dilationWFactor) == (1, 1)
    )
    if not (grow and growable):
        raise _NotApplicable(f"{_describe(subgraph, operator)} leaves out the end of its input")


def _describe(subgraph: Subgraph, operator: Operator) -> str:
    return tensors.describe(subgraph, operator, flatbuffer.OPERATOR_NAMES[subgraph.code(operator)])


class _Rotation:
    """Carries out one plan; remembers what it made, so that shared weights are flipped once."""

    def __init__(self, subgraph: Subgraph, plan: _Plan, producers: dict[int, Operator]) -> None:
        self.subgraph, self.plan, self.producers = subgraph, plan, producers
        self.axes = subgraph.add_constant(np.array([1, 2], np.int32), name="height_and_width")
        self.flipped: dict[tuple[object, ...], int] = {}
        outputs = set(subgraph.outputs)
        # Inputs and outputs of the model keep their index and stay plain.
        self.rotated = {
            index: self._twin(index, "rotated") if index in plan.sources | outputs else index
            for index in plan.rotated
        }
        self.plain = {
            index: index if self.rotated[index] != index else self._twin(index, "plain")
            for index in plan.undone
        }

    def run(self) -> None:
        # Windows say what the file said before, so all are read before any operator changes.
        window_kinds = windows.CONVOLUTIONS | windows.POOLS
        self.windows = {
            operator: windows.read(self.subgraph, operator, self.producers)
            for operator in self.subgraph.operators
            if operator in self.plan.moved and self.subgraph.code(operator) in window_kinds
        }
        first = [
            self._reverse(index, self.rotated[index])
            for index in sorted(self.plan.sources)
            if index not in self.producers
        ]
        self.subgraph.rewrite(self._rule)
        self.subgraph.operators[:0] = first

    def _rule(self, operator: Operator) -> list[Operator]:
        moves = operator in self.plan.moved
        made = self._moved(operator) if moves else self._unmoved(operator)
        for index in map(int, operator.outputs):
            if moves and index in self.plan.rotated:
                rotated = self.rotated[index]
                _replace_output(operator, index, rotated)
                if index in self.plan.undone:
                    made.append(self._reverse(rotated, self.plain[index]))
            elif index in self.plan.sources:
                made.append(self._reverse(index, self.rotated[index]))
        return made

    def _moved(self, operator: Operator) -> list[Operator]:
        """An operator on rotated inputs: its kernel, constants and padding turned around."""
        code = self.subgraph.code(operator)
        window = self.windows.get(operator)
        if window is not None:
            return self._turned(operator, window)
        if code == OPERATORS.PAD:
            return self._repadded(operator)
        for index in map(int, operator.inputs):
            if index in self.plan.rotated:
                self.subgraph.replace_input(operator, index, self.rotated[index])
            elif (values := invariance.rotated_constant(self.subgraph, index)) is not None:
                self.subgraph.replace_input(operator, index, self._constant(index, values))
        return [operator]

    def _unmoved(self, operator: Operator) -> list[Operator]:
        for index in map(int, operator.inputs):
            if index in self.plan.rotated:
                self.subgraph.replace_input(operator, index, self.plain[index])
        return [operator]

    def _turned(self, operator: Operator, window: windows.Window) -> list[Operator]:
        subgraph = self.subgraph
        height, width = (axis.rotated for axis in window.axes)
        if subgraph.code(operator) in windows.CONVOLUTIONS:
            growth = (max(-height.begin, 0), max(-width.begin, 0))
            self._flip_kernel(operator, growth)
        if window.pad is None and height == window.axes[0] and width == window.axes[1]:
            subgraph.replace_input(operator, window.source, self.rotated[window.source])
            return [operator]
        pads = tuple((max(axis.begin, 0), max(axis.end, 0)) for axis in (height, width))
        return windows.set_padding(
            subgraph, operator, self.rotated[window.source], pads  # type: ignore[arg-type]
        )

    def _flip_kernel(self, operator: Operator, growth: tuple[int, int]) -> None:
        """Flip height and width of a kernel and put zeros before it."""
        index = int(operator.inputs[1])
        kernel = self.subgraph.values(index)
        if kernel.shape[1:3] == (1, 1) and not any(growth):
            return
        zeros = ((0, 0), (growth[0], 0), (growth[1], 0), (0, 0))
        made = self._constant(index, np.pad(np.flip(kernel, (1, 2)), zeros), zeros)
        self.subgraph.replace_input(operator, index, made)

    def _repadded(self, operator: Operator) -> list[Operator]:
        source, amounts = map(int, operator.inputs)
        pads = np.array(self.subgraph.constant(amounts))
        pads[1:3] = pads[1:3, ::-1]
        self.subgraph.replace_input(operator, source, self.rotated[source])
        self.subgraph.replace_input(operator, amounts, self._constant(amounts, pads))
        return [operator]

    def _constant(
        self, index: int, values: np.ndarray, zeros: tuple[tuple[int, int], ...] = ()
    ) -> int:
        key = (self.subgraph.tensor(index).buffer, values.shape, zeros)
        if key not in self.flipped:
            name = f"{tensors.short_name(self.subgraph, index)}/rotated"
            self.flipped[key] = self.subgraph.add_constant(values, name=name, like=index)
        return self.flipped[key]

    def _twin(self, index: int, suffix: str) -> int:
        return tensors.like(self.subgraph, index, self.subgraph.shape(index), suffix)

    def _reverse(self, index: int, reversed_index: int) -> Operator:
        return self.subgraph.operator(
            OPERATORS.REVERSE_V2,
            [index, self.axes],
            [reversed_index],
            schema.ReverseV2OptionsT(),
            version=_REVERSE_VERSIONS.get(self.subgraph.tensor(index).type, 1),
        )


def _replace_output(operator: Operator, old: int, new: int) -> None:
    operator.outputs = np.array([new if i == old else i for i in operator.outputs], np.int32)
