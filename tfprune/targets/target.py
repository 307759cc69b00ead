"""Where a file will run, and all that the project knows about it: one `Target` each.

Adding a target is one entry in `TARGETS`. What a new one has that none of these has, such as
another way to run files, is a new field here and one place that reads it.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from tfprune.support.validation import require_one_of
from tfprune.targets.costs import Costs, IntegerCosts, KernelCosts, pays_from

if TYPE_CHECKING:
    from tfprune.sparsity.structures import Structure

QuantizeName = Literal["float16", "int8_weights", "dynamic", "int8", "int4"]
TargetName = Literal[
    "auto",
    "arm64",
    "wasm",
    "x86",
    "size",
    "microcontroller",
    "phone",
    "android",
    "ios",
    "browser",
    "desktop",
]

# What the converter quantizes; the arithmetic of the others is float32.
INTEGER_ARITHMETIC = ("dynamic", "int8", "int4")
IN_INTEGERS_THROUGHOUT = ("int8", "int4")  # activations, too, whose ranges must be known
FLOAT_ARITHMETIC = (None, "float16", "int8_weights")
QUANTIZE = (*FLOAT_ARITHMETIC, *INTEGER_ARITHMETIC)


# Fitted by `scripts.bench.fully_connected` to layers of 64 to 512 units on one x86-64 core with
# AVX-512 (LiteRT 2.3.0) and, for WebAssembly, in Node on that core (LiteRT.js 2.5.3, relaxed SIMD);
# `call` is what it takes to leave XNNPACK for a sparse kernel in between: .35 us in an MLP.
_X86 = Costs(
    dense=KernelCosts(0.0335, 0.0114),
    rows=KernelCosts(0.634, 0.373, 0.483, call=350),
    blocks=KernelCosts(0.16, 0.0901, 0.882, call=350),
    int8=IntegerCosts(
        KernelCosts(0.00775, 0.000598, 0.246), KernelCosts(0.19, 0.165, 4.69, call=350)
    ),
    dynamic=IntegerCosts(
        KernelCosts(0.00681, 0.00082, 0.253), KernelCosts(0.0409, 0.0395, 0.831, call=350)
    ),
)
_WASM = Costs(
    dense=KernelCosts(0.066, 0.0356, 2.01),
    rows=KernelCosts(0.938, 0.602, 1.64, call=500),
    blocks=KernelCosts(0.408, 0.337, 1.79, call=500),
    int8=IntegerCosts(
        KernelCosts(0.0505, 0.0324, 0.0421), KernelCosts(0.477, 0.443, 5.56, call=500)
    ),
    dynamic=IntegerCosts(
        KernelCosts(0.0498, 0.0295, 0.269), KernelCosts(0.432, 0.545, 3.14, call=500)
    ),
)

# ARM64 could not be timed. It takes the x86 costs, and so does "auto", but for int8, where the
# dense kernel multiplies four numbers an instruction: there they are instructions, counted in an
# emulator by `scripts.arm64.kernel_costs`, 0.138 a weight, 1.147 a stored value and 68 an output,
# at the 0.0734 ns by which the dense float32 kernel, with 0.456 a weight, takes its 0.0335 ns.
_ARM64 = dataclasses.replace(
    _X86,
    int8=IntegerCosts(
        KernelCosts(0.0101, 0.0101), KernelCosts(0.0842, 0.0842, 5.02, call=350)
    ),
)


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a file will run.

    Attributes:
        name: What users call it.
        kernels_of: The target whose kernels run the file as far as that can be told: itself, but
            for targets that stand for several or for none.
        costs: What its kernels of fully connected weights cost; None where only bytes count.
        sparse_convolutions: Whether XNNPACK multiplies 1x1 convolutions sparsely there, and
            convolutions are rewritten towards that.
        mixes_widths: Whether operators may mix float16 and float32 constants.
        takes_free_shapes: Whether its runtime takes files whose batch is free.
        in_webassembly: Whether files are run in WebAssembly before they are written.
        in_tflite_micro: Whether tflite-micro runs its files, and not LiteRT.
        block: Inputs of a fully connected weight that its kernels take together in float32
            arithmetic; 1 for single weights.
        integer_block: The same where weights are multiplied as integers.

    Example:
        >>> TARGETS["x86"].pays_from(TARGETS["x86"].matrices)
        0.82
    """

    name: str
    kernels_of: str
    costs: Costs | None
    sparse_convolutions: bool
    mixes_widths: bool = True
    takes_free_shapes: bool = True
    in_webassembly: bool = False
    in_tflite_micro: bool = False
    block: int = 4
    integer_block: int = 16

    @property
    def is_machine(self) -> bool:
        """Whether it is one kind of machine, whose kernels can be named."""
        return self.kernels_of == self.name

    @property
    def matrices(self) -> "Structure":
        """The structure of fully connected weights in float32 arithmetic."""
        return _columns(self.block)

    @property
    def integer_matrices(self) -> "Structure":
        """The same where weights are multiplied as integers."""
        return _columns(self.integer_block)

    def reading(self, nbytes: int) -> "Target":
        """The same for weights between whose uses so many bytes are read: see `Costs`."""
        if self.costs is None:
            return self
        return dataclasses.replace(self, costs=self.costs.reading(nbytes))

    def pays_from(
        self, structure: "Structure", *, dynamic: bool = False, nbytes: int = 0
    ) -> float:
        """The sparsity from which on a large fully connected weight is faster sparse than dense.

        Args:
            structure: `matrices`, `integer_matrices` or single weights, as float32 rows.
            dynamic: Whether integers are multiplied by float32 inputs.
            nbytes: Of the fully connected weights that are read until it is read again, were they
                dense: beyond a core's cache, fewer zeros pay.

        Returns:
            That of a weight with 1,024 inputs and outputs which one row of inputs is multiplied
            by, rounded up to percents; 0 where only bytes count.
        """
        if self.costs is None:
            return 0.0
        (block,) = (size for size in (1, 4, 16) if _columns(size) == structure)
        return pays_from(*self.costs.reading(nbytes).kernels(block, dynamic=dynamic))


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("auto", "arm64", _ARM64, sparse_convolutions=True),
        Target("arm64", "arm64", _ARM64, sparse_convolutions=True),
        Target(
            "wasm",
            "wasm",
            _WASM,
            sparse_convolutions=True,
            mixes_widths=False,
            takes_free_shapes=False,
            in_webassembly=True,
        ),
        Target("x86", "x86", _X86, sparse_convolutions=False),
        Target("size", "arm64", None, sparse_convolutions=False, block=1),
        Target(
            "microcontroller",
            "microcontroller",
            None,
            sparse_convolutions=False,
            takes_free_shapes=False,
            in_tflite_micro=True,
            block=1,
            integer_block=1,
        ),
    )
}

# Those that `lint` knows, and those of them whose files LiteRT runs.
LINTED: dict[str, Target] = {name: each for name, each in TARGETS.items() if each.is_machine}
MACHINES: dict[str, Target] = {
    name: each for name, each in LINTED.items() if not each.in_tflite_micro
}

DEVICES = {
    "phone": "arm64",
    "android": "arm64",
    "ios": "arm64",
    "browser": "wasm",
    "desktop": "x86",
}


def _columns(block: int) -> "Structure":
    """Blocks of that many inputs."""
    from tfprune.sparsity.structures import Block, Unstructured  # Keras, not needed to read files

    return Unstructured() if block == 1 else Block(block, 1)


def require_target(value: object, targets: Mapping[str, Target] = TARGETS) -> str:
    """Return the name of a target, which a device stands for as well.

    Args:
        value: name of a target, or "phone", "android", "ios", "browser" or "desktop".
        targets: those that will do.

    Raises:
        TypeError, ValueError: for anything else.

    Example:
        >>> require_target("phone"), require_target("wasm")
        ('arm64', 'wasm')
    """
    require_one_of("target", value, [*targets, *DEVICES])
    return DEVICES.get(str(value), str(value))
