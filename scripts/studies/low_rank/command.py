"""Layers replaced by products of smaller ones: what that costs, and what training brings back.

    python -m scripts.studies.low_rank resnet20
    python -m scripts.studies.low_rank alexnet
    python -m scripts.studies.low_rank ptb

"resnet20" has trained weights of CIFAR-10, and factors of its convolutions by each method, for the
weights and for the outputs on training images, without training. "alexnet" is a small AlexNet that
is trained on CIFAR-10: factors of all its layers by each method, at once; then the spatial ones
trained for a few epochs more, and timed in LiteRT. "ptb" is the small LSTM language model on Penn
Treebank: embedding and output layer in factors, at once and trained for six more passes, with the
original as teacher, too. Beside both, the original trained on for as long. A run that was stopped
goes on from its last checkpoint.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.data import arrays, text
from models.images.resnet import load_resnet20
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS, ROOT, SHARED
from scripts.lab.options import ANY_DATA, OneLineParser, add_checkpoints, add_data
from scripts.lab.results_file import Record, ResultsFile
from scripts.studies.low_rank import alexnet, ptb, resnet20

PROGRAM = "low_rank"
WEIGHTS = SHARED / "resnet20_cifar10" / "resnet20_cifar10_keras.npz"
CHECKPOINTS = ROOT / "results" / PROGRAM
NETWORKS = ("resnet20", "alexnet", "ptb")


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    dense = next((record for record in records if record["method"] == alexnet.DENSE), None)
    head = {
        "command": f"python -m scripts.studies.low_rank {settings['network']}"
        + " --weights FILE" * ("weights" in settings),
        "versions": settings["versions"],
    }
    if dense is None:
        return head
    return head | {"parameters": dense["parameters"], "training": dense["options"]}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("network", choices=NETWORKS, help="which network")
    add_data(parser, about=ANY_DATA)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="JSON file to write or go on with; default: in scripts/results",
    )
    add_checkpoints(parser, CHECKPOINTS)
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="of ResNet-20, see models.load_resnet20, by default in ../shared/data; or, for ptb, "
        "the comparison's checkpoint of the dense LSTM of 200 units, which is trained by default",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    settings = {
        "network": args.network,
        "threads": measuring.threads(),
        "versions": measuring.versions(),
    }
    settings |= {"weights": args.weights.name} if args.weights else {}

    def work() -> None:
        out = args.out or RESULTS / f"low_rank_{args.network}.json"
        results = ResultsFile(out, settings, lambda records: summarize(settings, records))
        if args.network == "ptb":
            texts = {split: text.load("ptb", split, args.data_dir) for split in text.SPLITS}
            words = ptb.Experiment(texts, args.checkpoints, args.weights)
            experiments.run_all(ptb.plan(), results, words.run)
            return
        images = arrays.load("cifar10", args.data_dir)
        if args.network == "resnet20":
            network = resnet20.Experiment(load_resnet20(args.weights or WEIGHTS), images)
            experiments.run_all(resnet20.plan(), results, network.run)
        else:
            run = alexnet.Experiment(images, args.checkpoints).run
            experiments.run_all(alexnet.plan(), results, run)

    return experiments.exit_status(PROGRAM, work)
