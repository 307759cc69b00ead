"""How often a file gives what the Keras model does that learned its ranges, written to a JSON file.

ResNet-20 sees some batches of CIFAR-10 with rounded weights and activations, and is compared with
its file, run with XNNPACK and with LiteRT's own kernels: before its biases are rounded as in the
file, and after it.

    python -m scripts.studies.quantization.agreement
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import tfprune
from models.data import arrays
from models.images.resnet import normalize
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser, add_data, add_out
from scripts.studies.quantization.command import WEIGHTS
from scripts.studies.quantization.tasks import Images
from tfprune.targets.target import QuantizeName

PROGRAM = "agreement"
OUT = RESULTS / "quantization_agreement.json"
BATCHES, IMAGES = 30, 400
FILES: dict[QuantizeName, int] = {"int8": 8, "int4": 4}  # and the bits of their weights
KERNELS = {
    "XNNPACK": OpResolverType.BUILTIN,
    "plain": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
}


def measure(task: Images, quantize: QuantizeName) -> dict[str, dict[str, float]]:
    """Return pair of what is compared -> the shares of outputs that are equal, and within a step.

    Args:
        task: the network and its images.
        quantize: the file.
    """
    model = tfprune.quantize_aware(task.network(), activations=True, bits=FILES[quantize])
    for _, (images, _) in zip(range(BATCHES), task.batches(0, 0)):
        model(images, training=True)
    images = normalize(task.images.x_test[:IMAGES])
    found = {"Keras": model.predict(images, verbose=0)}
    tfprune.round_biases(model, quantize=quantize)
    found["Keras, biases rounded"] = model.predict(images, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.tflite"
        tfprune.export.to_tflite(model, path, quantize=quantize, sparse=False)
        found |= {name: _run(path, images, kernels) for name, kernels in KERNELS.items()}
    last = model.layers[-1]
    step = float(last.high.value - last.low.value) / 255
    pairs = [(keras, name) for name in KERNELS for keras in ("Keras", "Keras, biases rounded")]
    return {
        f"{first} / {second}": shares(found[first], found[second], step)
        for first, second in [*pairs, ("XNNPACK", "plain")]
    }


def shares(first: np.ndarray, second: np.ndarray, step: float) -> dict[str, float]:
    """Return the shares of outputs that are equal, and that are at most one step apart.

    Example:
        >>> shares(np.array([0.0, 1.0, 4.0, 8.0]), np.array([0.0, 1.5, 3.0, 8.0]), 0.5)
        {'equal': 0.5, 'within_one_step': 0.75}
    """
    apart = np.round(np.abs(first - second) / step)
    return {"equal": float(np.mean(apart == 0)), "within_one_step": float(np.mean(apart <= 1))}


def _run(path: Path, images: np.ndarray, kernels: OpResolverType) -> np.ndarray:
    interpreter = Interpreter(str(path), experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    given, returned = (
        each()[0]["index"]
        for each in (interpreter.get_input_details, interpreter.get_output_details)
    )
    outputs = []
    for image in images:
        interpreter.set_tensor(given, image[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(returned)[0].copy())
    return np.stack(outputs)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    add_data(parser)
    parser.add_argument("--weights", type=Path, default=WEIGHTS["resnet20"], help="of the network")
    add_out(parser, OUT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)

    def work() -> None:
        task = Images(arrays.load("cifar10", args.data_dir), args.weights)
        found: dict[str, Any] = {
            "command": f"python -m scripts.studies.quantization.{PROGRAM}",
            "versions": {**measuring.versions(), **measuring.runtime_versions()},
            "images": IMAGES,
            "files": {quantize: measure(task, quantize) for quantize in FILES},
        }
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        experiments.say(json.dumps(found["files"], indent=1))

    return experiments.exit_status(PROGRAM, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
