"""Runs .tflite files inside an emulated ARM64 Python, which `scripts/setup_arm64.sh` makes.

It is started by `scripts.arm64.emulator` as `python guest.py FOLDER`, with `child.py` of the
package on its path: the program that runs files on this machine runs them there. Before one
inference of a file and after it, a system call tells the emulator to count. `answer.json` says
where the library and Python itself lie in memory, so that counts have names.
"""

import json
import os
import sys

import child
import numpy as np

LIBRARY = "libpywrap_litert_common.so"


def mapped(name: str) -> list[tuple[int, int]]:
    """Where parts of a file lie in memory: first address and the one after the last."""
    with open("/proc/self/maps", encoding="ascii") as maps:
        ranges = [line.split()[0].split("-") for line in maps if line.rstrip().endswith(name)]
    return [(int(first, 16), int(end, 16)) for first, end in ranges]


def main(folder: str) -> None:
    """Run each file on its examples, with each kind of kernels, and count one inference."""
    job = child.Job(folder)
    found = {}
    with np.load(os.path.join(folder, "inputs.npz"), allow_pickle=False) as inputs:
        for number, run in enumerate(job.request["runs"]):
            examples = [inputs[name] for name in run["inputs"]]
            for place, kernels in enumerate(run["kernels"]):
                job.stage(run["path"], f"with {kernels}")
                interpreter = child.load(run["path"], kernels=kernels)
                batches = []
                for example in range(len(examples[0])):
                    part = [array[example : example + 1] for array in examples]
                    batches.append(child.run(interpreter, part))
                os.getppid()
                interpreter.invoke()
                os.getppid()
                for index, parts in enumerate(zip(*batches, strict=True)):
                    found[f"{number:03}-{place:03}-{index:03}"] = np.concatenate(parts)
    np.savez(os.path.join(folder, "outputs.npz"), **found)
    python = mapped(os.path.basename(sys.executable))
    job.write("answer.json", {"library": mapped(LIBRARY), "python": python})


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as error:  # whatever a file makes LiteRT or NumPy raise
        with open(os.path.join(sys.argv[1], "answer.json"), "w", encoding="utf-8") as file:
            json.dump({"error": str(error).strip() or type(error).__name__}, file)
