"""Predicts which layers XNNPACK runs on its sparse 1x1 kernels, without running the file.

With a DENSIFY before any weight, XNNPACK looks for clusters of operators that can all compute with
channels first, from a stem convolution to a MEAN. A cluster with more than 2/3 zeros in its 1x1
weights switches to that order of axes and to sparse kernels; otherwise all of it stays dense. The
search is that of `xnn_subgraph_rewrite_for_nchw` in XNNPACK's src/subgraph.c, after the delegate
has taken the operators that it knows, in as few parts as it can.

Two properties of the search are worth knowing. A value that two operators read, one inside and one
outside, blocks its cluster. But a value that *only* operators outside read does not: XNNPACK then
hands them channels-first data for channels-last, and the outputs are wrong, or it fails to start.
"""

import dataclasses
import math

from tfprune.export.file import flatbuffer
from tfprune.export.file.subgraph import OPERATORS, Subgraph
from tfprune.export.file.tables import Operator
from tfprune.export.predict import delegation, nchw
from tfprune.export.predict.nchw import Padding, Role, Setting

NO_DENSIFY = "no DENSIFY in the file"

_NO_PADDING: Padding = (0, 0, 0, 0)


@dataclasses.dataclass
class Prediction:
    """What XNNPACK makes of the 1x1 convolutions of a subgraph, and of Dense over images.

    Attributes:
        sparse: Positions in the subgraph's operators of those on sparse kernels.
        broken: Positions of those in clusters that give wrong outputs or do not start.
        blockers: Position of any that is not sparse -> why.
        entries: Positions of the first convolutions of clusters that switch.
    """

    sparse: set[int] = dataclasses.field(default_factory=set)
    broken: set[int] = dataclasses.field(default_factory=set)
    blockers: dict[int, str] = dataclasses.field(default_factory=dict)
    entries: set[int] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(eq=False)
class _Node:
    """An operator as XNNPACK sees it.

    Attributes:
        position: Its place in the subgraph's operators.
        operator: The operator.
        reads: The tensors that it reads and that are not constant; after a fused PAD, its input.
        able: The roles that its kind allows.
        roles: Those left to it by the nodes around it.
        reason: Why it has none.
        leader: The number of the node that stands for its cluster.
        fault: Why its cluster cannot switch.
    """

    position: int
    operator: Operator
    reads: list[int]
    able: Role
    roles: Role
    reason: str
    leader: int
    fault: str = ""


def predict(setting: Setting) -> Prediction:
    """Predicts what XNNPACK makes of a subgraph on ARM64 and in WebAssembly.

    Args:
        setting: The subgraph, its constants, and whether widths may be mixed: on ARM64, not in
            WebAssembly.

    Returns:
        The operators on sparse 1x1 kernels, and why others are not.
    """
    subgraph = setting.subgraph
    found = Prediction()
    parts = delegation.parts(setting)
    for position, operator in enumerate(subgraph.operators):
        if position in parts:
            continue
        reason = delegation.refusal(setting, operator)
        if reason == delegation.MIXED:
            found.broken.add(position)
        if reason == delegation.MIXED or nchw.is_product(setting, operator):
            found.blockers[position] = reason
    for part in sorted(set(parts.values())):
        _Search(setting, [place for place in parts if parts[place] == part]).add_to(found)
    return found


class _Search:
    """XNNPACK's search for clusters in one delegated part of a subgraph."""

    def __init__(self, setting: Setting, positions: list[int]) -> None:
        self._setting = setting
        self._nodes = _nodes(setting, positions)
        self._writers = {
            int(index): node for node in self._nodes for index in node.operator.outputs
        }
        self._readers: dict[int, list[_Node]] = {}
        for node in self._nodes:
            for index in node.reads:
                self._readers.setdefault(index, []).append(node)
        self._producers = setting.subgraph.producers()
        self._outside = _read_outside(setting.subgraph, set(positions))

    def add_to(self, found: Prediction) -> None:
        """Runs the search and adds what it finds to a prediction."""
        products = [n for n in self._nodes if nchw.is_product(self._setting, n.operator)]
        able = [node for node in products if node.able]
        found.blockers.update({node.position: node.reason for node in products if not node.able})
        reason = self._no_search()
        if reason:
            found.blockers.update({node.position: reason for node in able})
            return
        for leader in dict.fromkeys(node.leader for node in able):
            members = [node.position for node in able if node.leader == leader]
            fault = self._nodes[leader].fault or self._gate(leader)
            defect = "" if fault else self._defect(leader)
            if not fault and not defect:
                found.sparse.update(members)
                found.entries.update(
                    node.position
                    for node in self._nodes
                    if node.leader == leader and node.able & Role.ENTRY
                )
                continue
            found.blockers.update(dict.fromkeys(members, fault or defect))
            if defect:
                found.broken.update(members)

    def _no_search(self) -> str:
        """Finds the clusters; or says why XNNPACK does not look for them."""
        weights = [int(index) for node in self._nodes for index in node.operator.inputs]
        sources = [self._setting.constants.source(index) for index in weights]
        expanded = self._setting.expanded
        if not (expanded or any(OPERATORS.DENSIFY in steps for _, steps in sources)):
            return NO_DENSIFY
        if not self._join(Role.EXIT):
            return "no MEAN, SUM or DEPTH_TO_SPACE ends the cluster"
        while self._join(Role.INSIDE | Role.EXIT):
            pass
        self._mark_leaders()
        self._check_readers()
        return ""

    def _join(self, roles: Role) -> bool:
        """Puts nodes with one of the roles into the clusters of what they read."""
        changed = False
        for node in self._nodes:
            if node.fault or not node.roles & roles:
                continue
            for index in node.reads:
                writer = self._writers.get(index)
                fault = self._fault(node, index, writer)
                if fault or writer is None:
                    node.fault = node.fault or fault
                    continue
                writer.roles &= ~Role.EXIT
                if writer.leader != node.leader:
                    writer.leader = node.leader = max(writer.leader, node.leader)
                    changed = True
        return changed

    def _fault(self, node: _Node, index: int, writer: _Node | None) -> str:
        """Why a node cannot be in a cluster with what writes its input; empty if it can."""
        if writer is None and index in self._producers:
            outside = self._producers[index]
            reason = delegation.refusal(self._setting, outside) or "in another part of the graph"
            return f"{_name(self._setting.subgraph, outside)}: {reason}"
        if writer is None:
            return f"{self._name(node)} reads an input, not a 3x3 stem convolution"
        if not writer.roles & (Role.ENTRY | Role.INSIDE):
            return f"{self._name(writer)}: {writer.reason or 'leaves the cluster'}"
        return writer.fault

    def _mark_leaders(self) -> None:
        for node in self._nodes:
            leader = self._nodes[node.leader]
            leader.fault = leader.fault or node.fault

    def _is_switched(self, node: _Node) -> bool:
        """Whether a node computes with channels first, as far as the operators allow it."""
        return bool(node.roles & (Role.INSIDE | Role.EXIT)) and not self._nodes[node.leader].fault

    def _check_readers(self) -> None:
        """Blocks clusters of which a value is also read outside, or twice by one operator."""
        switched = [node for node in self._nodes if self._is_switched(node)]
        for node in switched:
            for index in node.reads:
                others = [n for n in self._readers[index] if n not in switched]
                if others or index in self._outside:
                    who = self._outside.get(index) or self._name(others[0])
                    fault = f"{who} needs a value of the cluster"
                elif node.reads.count(index) > 1:
                    fault = f"{self._name(node)} reads one value twice"
                else:
                    continue
                leader = self._nodes[node.leader]
                leader.fault = leader.fault or fault

    def _gate(self, leader: int) -> str:
        """XNNPACK's own condition: that sparse kernels pay over all of a cluster."""
        zeros = size = 0
        for node in self._nodes:
            if node.leader == leader and nchw.is_product(self._setting, node.operator):
                weight = int(node.operator.inputs[1])
                zeros += self._setting.constants.zeros(weight) or 0
                size += math.prod(self._setting.subgraph.shape(weight))
        if 3 * zeros > 2 * size:
            return ""
        return f"sparsity {zeros / max(1, size):.2f} is not above 2/3"

    def _defect(self, leader: int) -> str:
        """Which value of a switched cluster is read as if it were channels-last; empty if none."""
        for node in self._nodes:
            if node.leader != leader or not self._is_switched(node) or node.able & Role.EXIT:
                continue
            for index in map(int, node.operator.outputs):
                readers = self._readers.get(index, [])
                if readers and all(self._is_switched(reader) for reader in readers):
                    continue
                what = self._name(readers[0]) if readers else "what follows"
                reason = f" ({readers[0].reason})" if readers and readers[0].reason else ""
                return (
                    f"breaks the file: {what}{reason} reads {self._name(node)}, which XNNPACK "
                    "leaves channels-first"
                )
        return ""

    def _name(self, node: _Node) -> str:
        return _name(self._setting.subgraph, node.operator)


def _nodes(setting: Setting, positions: list[int]) -> list[_Node]:
    """The nodes of a part, with PADs fused into the convolutions that alone read them."""
    operators = {position: setting.subgraph.operators[position] for position in positions}
    fused = _fused_pads(setting, operators)
    pads = [pad for pad, _ in fused.values()]
    nodes: list[_Node] = []
    for position, operator in operators.items():
        if any(operator is pad for pad in pads):
            continue
        pad, padding = fused.get(position, (None, _NO_PADDING))
        reads = [i for i in setting.inputs(operator) if i not in setting.constants]
        if pad is not None:
            reads = [int(pad.inputs[0])] + reads[1:]
        able, reason = nchw.role(setting, operator, padding)
        nodes.append(_Node(position, operator, reads, able, able, reason, len(nodes)))
    return nodes


def _fused_pads(
    setting: Setting, operators: dict[int, Operator]
) -> dict[int, tuple[Operator, Padding]]:
    """Position of a convolution -> the PAD fused into it, and what that adds."""
    subgraph, fused = setting.subgraph, {}
    readers, written = subgraph.readers(), {}
    for operator in operators.values():
        if subgraph.code(operator) == OPERATORS.PAD:
            written[int(operator.outputs[0])] = operator
    outputs = set(subgraph.outputs)
    for position, operator in operators.items():
        index = int(operator.inputs[0]) if len(operator.inputs) else -1
        if index not in written or index in outputs or len(readers[index]) > 1:
            continue
        padding = nchw.fused_padding(setting, written[index], operator)
        if padding is not None:
            fused[position] = (written[index], padding)
    return fused


def _read_outside(subgraph: Subgraph, positions: set[int]) -> dict[int, str]:
    """The tensors read outside of a part -> what reads them, in words."""
    outside = {int(index): "an output of the graph" for index in subgraph.outputs}
    for position, operator in enumerate(subgraph.operators):
        if position not in positions:
            who = _name(subgraph, operator)
            outside |= {int(index): who for index in operator.inputs}
    return outside


def _name(subgraph: Subgraph, operator: Operator) -> str:
    """What messages call an operator."""
    code = subgraph.code(operator)
    name = subgraph.name(int(operator.outputs[0])) if len(operator.outputs) else ""
    return f"{flatbuffer.OPERATOR_NAMES.get(code, code)} {name[-40:]!r}"
