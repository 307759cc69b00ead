"""Running .tflite files in an emulated ARM64 Python, and counting the instructions they take.

Counts are those of one inference after others, by the function of LiteRT that they belong to: they
say which kernels ran, and are the same each time and on every machine. How long they take on a
processor is another matter: instructions differ in that.
"""

import bisect
import dataclasses
import functools
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scripts.lab.folders import ROOT
from tfprune.export.run import child, processes
from tfprune.export.run.runtime import Run

FOLDER = ROOT / "build" / "arm64"
_GUEST = Path(__file__).with_name("guest.py")
_CHILD = Path(child.__file__).parent
LIBRARY = "ai_edge_litert/libpywrap_litert_common.so"
_ELSEWHERE = "elsewhere"  # libc and others; Python itself is not counted

# What a function's name contains -> what `export.lint` calls the kernel. Names as in the library;
# the first that fits counts.
SPARSE_KERNELS = {
    "_spmm_minmax_ukernel_": "sparse 1x1 NCHW",
    "SparseMatrixBatchVectorMultiplyAccumulate1x4": "sparse 1x4",
    "SparseMatrixBatchVectorMultiplyAccumulate1x16": "sparse 1x16",
    "NeonSparseMatrixBatchVectorMultiplyAccumulate": "sparse 1x16",  # of "dynamic" files
    "FullyConnectedSparseWeightE": "sparse rows",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What a file gave with one kind of kernels.

    Attributes:
        outputs: One array per output.
        instructions: Function -> those executed in one inference; empty where they are not counted.
    """

    outputs: list[np.ndarray]
    instructions: dict[str, int]

    @property
    def total(self) -> int:
        """The instructions of one inference."""
        return sum(self.instructions.values())

    @property
    def sparse_kernels(self) -> tuple[str, ...]:
        """The kernels that skip zeros and ran, by the names that `export.lint` gives them."""
        found = {kernel_of(name) for name in self.instructions}
        return tuple(sorted(name for name in found if name))


def kernel_of(function: str) -> str | None:
    """Return the sparse kernel that a function of LiteRT belongs to, None for all others.

    Example:
        >>> kernel_of("xnn_f32_spmm_minmax_ukernel_32x2__aarch64_neonfma")
        'sparse 1x1 NCHW'
        >>> kernel_of("xnn_f32_gemm_minmax_ukernel_1x8__asm_aarch64_neonfma_cortex_a75")
    """
    return next((name for part, name in SPARSE_KERNELS.items() if part in function), None)


def why_missing() -> str | None:
    """Return what to do before files can be run, None where they can."""
    if (FOLDER / ".setup-stamp").is_file():
        return None
    return "ARM64 is not emulated here: run scripts/setup_arm64.sh"


def counts_instructions() -> bool:
    """Return whether instructions are counted, which takes a C compiler at the set-up."""
    return (FOLDER / "libcounter.so").is_file()


def litert_version() -> str:
    """Return the version of LiteRT that files are run with."""
    (metadata,) = (FOLDER / "site").glob("ai_edge_litert-*.dist-info")
    return metadata.name.removesuffix(".dist-info").rpartition("-")[2]


def run(runs: Sequence[Run]) -> list[dict[str, Measured]]:
    """Run files on examples, one inference an example.

    Args:
        runs: what to run; batches are of one example.

    Returns:
        For each run the kernels and what they gave.

    Raises:
        ValueError: if nothing is set up.
        processes.RunError: if a file cannot be loaded or run, or kills the runtime.
    """
    missing = why_missing()
    if missing:
        raise ValueError(missing)
    arrays, asked = {}, []
    for number, each in enumerate(runs):
        named = {f"{number:03}-{place:03}": array for place, array in enumerate(each.inputs)}
        arrays |= named
        asked.append({"path": os.fspath(each.path), "inputs": [*named], "kernels": each.kernels})
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        np.savez(Path(folder) / "inputs.npz", **arrays)
        counts = Path(folder) / "counts"
        environment = {**os.environ, "PYTHONPATH": str(_CHILD)}
        if counts_instructions():
            environment["COUNTS"] = str(counts)
        answer = processes.converse(
            [str(FOLDER / "python"), str(_GUEST)],
            {"runs": asked, "paths": [each["path"] for each in asked]},
            folder,
            runtime="LiteRT on an emulated ARM64",
            environment=environment,
        )
        windows = iter(_windows(counts, answer) if counts.is_file() else ())
        with np.load(Path(folder) / "outputs.npz", allow_pickle=False) as file:
            return [
                {
                    kernels: Measured(
                        [file[key] for key in file if key.startswith(f"{number:03}-{place:03}-")],
                        next(windows, {}),
                    )
                    for place, kernels in enumerate(each.kernels)
                }
                for number, each in enumerate(runs)
            ]


def _windows(counts: Path, memory: child.Json) -> Iterator[dict[str, int]]:
    """The instructions of each counted inference, by function."""
    starts, names = functions(FOLDER / "site" / LIBRARY)
    library = min(first for first, _ in memory["library"])
    for text in counts.read_text(encoding="ascii").split("window\n")[1:]:
        found: dict[str, int] = {}
        for line in text.splitlines():
            address, count = int(line.split()[0], 16), int(line.split()[1])
            if any(first <= address < end for first, end in memory["python"]):
                continue
            place = address - library
            inside = starts[0] <= place < starts[-1]
            name = names[bisect.bisect_right(starts, place) - 1] if inside else _ELSEWHERE
            found[name] = found.get(name, 0) + count
        yield found


@functools.cache
def functions(library: Path) -> tuple[list[int], list[str]]:
    """Read where the functions of a 64-bit, little-endian ELF file begin.

    Args:
        library: the file; it must have a symbol table (`.symtab`).

    Returns:
        Ascending addresses, each relative to the start of the file in memory, and the name of the
        function at each of them; a name may be empty, and the last is none: the end.

    Raises:
        ValueError: if it is no such file.
    """
    content = library.read_bytes()
    if content[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"`library` must be a 64-bit little-endian ELF file. Received: {library}")
    (at,) = struct.unpack_from("<Q", content, 0x28)
    size, count = struct.unpack_from("<HH", content, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", content, at + size * n) for n in range(count)]
    tables = [section for section in sections if section[1] == 2]
    if not tables:
        raise ValueError(f"`library` must have a symbol table. Received: {library}")
    _, _, _, _, begin, length, link, *_ = tables[0]
    strings = sections[link][4]
    found: dict[int, str] = {}
    end = 0
    for name, kind, _, _, value, extent in struct.iter_unpack(
        "<IBBHQQ", content[begin : begin + length]
    ):
        if kind & 15 in (2, 10) and value:
            stop = content.index(b"\0", strings + name)
            found[value] = content[strings + name : stop].decode()
            end = max(end, value + extent)
    return [*sorted(found), end], [*(found[value] for value in sorted(found)), ""]
