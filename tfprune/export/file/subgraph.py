"""Editing one subgraph of a parsed .tflite model: constants, tensors, operators.

The schema's objects hold indices into lists (`operator.inputs` into `subgraph.tensors`,
`tensor.buffer` into `model.buffers`). `Subgraph` hides that bookkeeping; it holds no state of its
own, so several may look at one subgraph.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfprune.export.file import flatbuffer
from tfprune.export.file.tables import Model, Operator, SubgraphTable, Tensor

OPERATORS = schema.BuiltinOperator
TYPES = schema.TensorType
OPTIONS = schema.BuiltinOptions

_SCHEMA_TYPES = {np.dtype(kind): code for code, kind in flatbuffer.NUMPY_TYPES.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Subgraph:
    """One subgraph of a model.

    Attributes:
        model: The `ModelT`.
        table: One of its `subgraphs`.
    """

    model: Model
    table: SubgraphTable

    @property
    def operators(self) -> list[Operator]:
        """The operators in the order in which they run."""
        return self.table.operators

    @property
    def inputs(self) -> list[int]:
        """The indices of the tensors that it is given."""
        return [int(index) for index in self.table.inputs]

    @property
    def outputs(self) -> list[int]:
        """The indices of the tensors that it gives."""
        return [int(index) for index in self.table.outputs]

    def code(self, operator: Operator) -> int:
        """The `BuiltinOperator` value of an operator."""
        return flatbuffer.builtin_code(self.model, operator)

    def tensor(self, index: int) -> Tensor:
        """The `TensorT` at an index."""
        return self.table.tensors[int(index)]

    def shape(self, index: int) -> tuple[int, ...]:
        """The shape of a tensor, in TFLite's order of axes; () for a scalar."""
        return flatbuffer.shape(self.tensor(index))

    def places(self, operator: Operator) -> int:
        """How many vectors of channels an operator writes; free dimensions count as one."""
        return math.prod(max(1, size) for size in self.shape(int(operator.outputs[0]))[:-1])

    def name(self, index: int) -> str:
        """The name of a tensor."""
        return (self.tensor(index).name or b"").decode(errors="replace")

    def constant(self, index: int) -> np.ndarray | None:
        """The values of a dense constant in its shape; None for anything else."""
        if index < 0 or self.tensor(index).sparsity is not None:
            return None
        values = flatbuffer.constant(self.model, self.tensor(index))
        return None if values is None else values.reshape(self.shape(index))

    def values(self, index: int) -> np.ndarray:
        """The values of what is known to be a dense constant."""
        found = self.constant(index)
        if found is None:
            raise ValueError(f"{self.name(index)!r} is no dense constant")
        return found

    def producers(self) -> dict[int, Operator]:
        """Tensor index -> the operator that writes it."""
        return {int(index): operator for operator in self.operators for index in operator.outputs}

    def readers(self) -> dict[int, list[Operator]]:
        """Tensor index -> the operators that read it, each once, in running order."""
        found: dict[int, list[Operator]] = {}
        for operator in self.operators:
            for index in dict.fromkeys(int(i) for i in operator.inputs if i >= 0):
                found.setdefault(index, []).append(operator)
        return found

    def add_constant(self, values: np.ndarray, *, name: str, like: int | None = None) -> int:
        """Append a constant and return its index.

        Args:
            values: Its values, of one of `flatbuffer.NUMPY_TYPES`.
            name: Its name.
            like: A tensor whose quantization it takes over.
        """
        index = self.add_tensor(values.shape, _SCHEMA_TYPES[values.dtype], name=name, like=like)
        self.tensor(index).buffer = flatbuffer.add_buffer(self.model, values)
        return index

    def add_tensor(
        self, shape: Sequence[int], kind: int, *, name: str, like: int | None = None
    ) -> int:
        """Append a tensor without values and return its index; arguments as `add_constant`."""
        tensor: Tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.shape = np.array(shape, np.int32)
        tensor.type = kind
        tensor.buffer = 0  # by convention the empty buffer
        tensor.quantization = None if like is None else copy.copy(self.tensor(like).quantization)
        tensor.hasRank = True
        self.table.tensors.append(tensor)
        return len(self.table.tensors) - 1

    def operator(
        self,
        code: int,
        inputs: Sequence[int] | np.ndarray,
        outputs: Sequence[int] | np.ndarray,
        options: object = None,
        *,
        version: int = 1,
    ) -> Operator:
        """Return a new operator, which the caller puts into `operators`.

        Args:
            code: Its `BuiltinOperator` value.
            inputs: Indices of the tensors it reads, -1 for an absent one.
            outputs: Indices of the tensors it writes.
            options: Its options, such as `schema.PadOptionsT()`.
            version: The version of the operator.
        """
        made = self._operator(self._code_index(code, version), inputs, outputs)
        made.builtinOptions = options
        if options is not None:
            made.builtinOptionsType = getattr(OPTIONS, type(options).__name__.removesuffix("T"))
        return made

    def custom_operator(
        self, name: str, inputs: Sequence[int] | np.ndarray, outputs: Sequence[int] | np.ndarray
    ) -> Operator:
        """Return a new operator of a runtime's own, by its name."""
        return self._operator(self._code_index(OPERATORS.CUSTOM, 1, name.encode()), inputs, outputs)

    def set_version(self, operator: Operator, version: int) -> None:
        """Give one operator a version, whatever that of others of its kind."""
        operator.opcodeIndex = self._code_index(self.code(operator), version)

    def replace_input(self, operator: Operator, old: int, new: int) -> None:
        """Let an operator read `new` wherever it read `old`."""
        operator.inputs = np.array([new if i == old else i for i in operator.inputs], np.int32)

    def rewrite(self, rule: Callable[[Operator], Sequence[Operator]]) -> None:
        """Replace each operator by those that `rule` returns for it, often the operator itself."""
        self.table.operators = [new for old in self.operators for new in rule(old)]

    def _operator(
        self,
        code_index: int,
        inputs: Sequence[int] | np.ndarray,
        outputs: Sequence[int] | np.ndarray,
    ) -> Operator:
        made: Operator = schema.OperatorT()
        made.opcodeIndex = code_index
        made.inputs = np.array(inputs, np.int32)
        made.outputs = np.array(outputs, np.int32)
        return made

    def _code_index(self, code: int, version: int, custom: bytes | None = None) -> int:
        """The index of an operator code, appended where there is none."""
        for index, known in enumerate(self.model.operatorCodes):
            found = max(known.builtinCode, known.deprecatedBuiltinCode)
            if (found, known.version, known.customCode) == (code, version, custom):
                return index
        made = schema.OperatorCodeT()
        made.builtinCode = code
        made.deprecatedBuiltinCode = min(code, 127)  # the old field is one signed byte
        made.version = version
        made.customCode = custom
        self.model.operatorCodes.append(made)
        return len(self.model.operatorCodes) - 1


def subgraphs(model: Model) -> list[Subgraph]:
    """Every subgraph of a model, the main one first."""
    return [Subgraph(model, subgraph) for subgraph in model.subgraphs]
