"""Files of one fully connected layer, whose zeros are stored as one kernel reads them."""

import dataclasses

import keras
import numpy as np

from tfprune.export.convert import converter
from tfprune.export.encode.sparse import encode_model
from tfprune.export.file import flatbuffer
from tfprune.export.file.signature import signature_of
from tfprune.targets.costs import Costs, IntegerCosts, KernelCosts
from tfprune.targets.target import TARGETS

# Kernel of LiteRT -> how files are quantized, and the inputs of a block.
KERNELS: dict[str, tuple[str | None, int]] = {
    "float32 1x4": (None, 4),
    "float32 rows": (None, 1),
    "dynamic 1x16": ("dynamic", 16),
    "int8 1x16": ("int8", 16),
}
_UNWANTED = 1e6


@dataclasses.dataclass(frozen=True)
class Case:
    """One layer.

    Attributes:
        kernel: a key of `KERNELS`.
        inputs: of the weight, a multiple of the block.
        outputs: of the weight.
        sparsity: fraction of its blocks that are zeros; at 0 the kernel is the dense one.
        rows: vectors that are multiplied by it.
    """

    kernel: str
    inputs: int
    outputs: int
    sparsity: float
    rows: int = 1

    @property
    def name(self) -> str:
        """The kernel that runs."""
        kind, _ = KERNELS[self.kernel]
        return self.kernel if self.sparsity else f"{kind or 'float32'} dense"


def content_of(case: Case) -> tuple[bytes, int]:
    """Return the file of a layer with random weights, and how many values it stores."""
    kind, block = KERNELS[case.kernel]
    random = np.random.default_rng(0)
    shape = (case.inputs, case.outputs)
    model = keras.Sequential(
        [keras.Input((case.inputs,), batch_size=case.rows), keras.layers.Dense(case.outputs)]
    )
    kept = random.random((case.inputs // block, case.outputs)) >= case.sparsity
    kept = np.repeat(kept, block, axis=0)
    model.layers[0].kernel.assign(random.normal(size=shape) * kept)
    data = None
    if kind == "int8":
        data = [random.normal(size=(32 * case.rows, case.inputs)).astype("float32")]
    file = converter.convert(
        model, signature_of(model, batch_size=case.rows), quantize=kind, representative=data
    )
    if not case.sparsity:
        return file.content, kept.size
    wanted, unwanted = KernelCosts(0, 0), KernelCosts(_UNWANTED, _UNWANTED)
    dense, integers = KernelCosts(1, 1), IntegerCosts(KernelCosts(1, 1), wanted)
    rows, blocks = (wanted, unwanted) if block == 1 else (unwanted, wanted)
    costs = Costs(dense, rows, blocks, int8=integers, dynamic=integers)
    target = dataclasses.replace(TARGETS["arm64"], costs=costs)
    encoded, _ = encode_model(file.model, target=target, densify=False)
    return flatbuffer.pack(encoded), int(kept.sum())
