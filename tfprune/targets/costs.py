"""What the fully connected kernels of a target take: nanoseconds, fitted to measurements."""

import dataclasses
import math

CACHE_BYTES = 2**21  # that a core has for itself, on some machines less
_MEMORY = 0.03  # nanoseconds a byte from beyond it, by layers of 1,024 and of 2,048 units
GAIN = 0.9  # of the dense kernel's time: sparse ones that are expected to take more are not taken
_LARGE = 1024  # inputs and outputs of a large weight


@dataclasses.dataclass(frozen=True)
class KernelCosts:
    """Nanoseconds of one kernel.

    Attributes:
        first: Per stored value, with one row of inputs.
        further: Per stored value and further row, for which the value is at hand.
        output: Per output and row, whatever is stored of it.
        call: Whatever the weight, beside the dense kernel.
    """

    first: float
    further: float
    output: float = 0.0
    call: float = 0.0

    def nanoseconds(self, stored: float, outputs: int, rows: int = 1) -> float:
        """What one multiplication takes.

        Args:
            stored: Values that the weight stores.
            outputs: Of the weight.
            rows: Vectors of inputs that are multiplied at once, at least 1.
        """
        values = stored * (self.first + self.further * (rows - 1))
        return self.call + values + self.output * outputs * rows


@dataclasses.dataclass(frozen=True)
class IntegerCosts:
    """Kernels of int8 weights.

    Attributes:
        dense: All values.
        blocks: Sparse 1x16 blocks.
    """

    dense: KernelCosts
    blocks: KernelCosts


@dataclasses.dataclass(frozen=True)
class Costs:
    """Kernels of a target.

    Attributes:
        dense: float32, all values.
        rows: Sparse float32 rows.
        blocks: Sparse float32 1x4 blocks.
        int8: int8 weights and inputs, as in "int8" files.
        dynamic: int8 weights, float32 inputs, as in "dynamic" files.
    """

    dense: KernelCosts
    rows: KernelCosts
    blocks: KernelCosts
    int8: IntegerCosts
    dynamic: IntegerCosts

    def reading(self, nbytes: int) -> "Costs":
        """The same for weights that a core's cache does not hold until they are read again.

        Args:
            nbytes: Of the fully connected weights that are read in between, were they dense. From
                2 MiB on each is read from memory every time, as much as is stored of it.
        """
        if nbytes <= CACHE_BYTES:
            return self
        return Costs(
            _reading(self.dense, 4),
            _reading(self.rows, 4),
            _reading(self.blocks, 4),
            int8=IntegerCosts(_reading(self.int8.dense, 1), _reading(self.int8.blocks, 1)),
            dynamic=IntegerCosts(
                _reading(self.dynamic.dense, 1), _reading(self.dynamic.blocks, 1)
            ),
        )

    def kernels(self, block: int, *, dynamic: bool = False) -> tuple[KernelCosts, KernelCosts]:
        """The dense kernel, and the sparse one of blocks of that many inputs: 1, 4 or 16.

        Args:
            block: Values of a block; 16 of int8 weights.
            dynamic: Whether int8 weights are multiplied by float32 inputs.
        """
        if block == 16:
            integers = self.dynamic if dynamic else self.int8
            return integers.dense, integers.blocks
        return self.dense, self.rows if block == 1 else self.blocks


def _reading(kernel: KernelCosts, itemsize: int) -> KernelCosts:
    return dataclasses.replace(kernel, first=kernel.first + itemsize * _MEMORY)


def pays_from(dense: KernelCosts, sparse: KernelCosts) -> float:
    """The sparsity from which on a sparse kernel is faster by a tenth for a large weight.

    Args:
        dense: A kernel of all values.
        sparse: A kernel of those that are not zero.

    Returns:
        That of a weight with 1,024 inputs and outputs and one row, rounded up to percents.

    Example:
        >>> pays_from(KernelCosts(0.04, 0.01), KernelCosts(0.2, 0.1))
        0.82
    """
    size = _LARGE * _LARGE
    room = GAIN * dense.nanoseconds(size, _LARGE) - sparse.nanoseconds(0, _LARGE)
    return math.ceil(round(100 * (1 - room / (sparse.first * size)), 6)) / 100
