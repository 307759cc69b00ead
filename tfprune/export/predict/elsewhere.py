"""Whether a file was made for another kind of machine than the one that runs it."""

import contextlib
import os
from typing import cast

from tfprune.export.predict.linting import lint
from tfprune.targets.target import MACHINES, TargetName

_MACHINES: dict[str, TargetName] = {
    "x86_64": "x86",
    "amd64": "x86",
    "arm64": "arm64",
    "aarch64": "arm64",
}


def machine_of(processor: str) -> TargetName | None:
    """Return the target that a processor is, None for one that is not known.

    Args:
        processor: as `platform.machine` names it.

    Example:
        >>> machine_of("AMD64"), machine_of("aarch64"), machine_of("riscv64")
        ('x86', 'arm64', None)
    """
    return _MACHINES.get(processor.lower())


def made_elsewhere(path: str | os.PathLike[str], here: TargetName) -> str:
    """Return a sentence if more layers of a file run on sparse kernels elsewhere, else "".

    Args:
        path: a .tflite file; "" is returned for one that cannot be read.
        here: "arm64", "wasm" or "x86".

    Example:
        >>> made_elsewhere("no such file.tflite", "x86")
        ''
    """
    with contextlib.suppress(ValueError):
        own = lint(path, target=here)
        if any(not layer.is_sparse and layer.sparsity > 0 for layer in own.layers):
            counts = {
                name: lint(path, target=cast(TargetName, name)).sparse_layers
                for name in MACHINES
                if name != here
            }
            best = max(counts.values())
            if best > own.sparse_layers:
                names = " and ".join(name for name, count in counts.items() if count == best)
                return (
                    f"{os.fspath(path)} was made for {names}: {best} of its {len(own.layers)} "
                    f"layers run on sparse kernels there, {own.sparse_layers} here ({here}), so "
                    "that its speed here is not its speed there."
                )
    return ""
