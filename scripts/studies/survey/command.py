"""Every family of compression on the same networks: bytes, latency, accuracy, lines of code.

    python -m scripts.studies.survey
    python -m scripts.studies.survey --networks resnet20 --recipes ternary

Each family is taken to a tenth of the dense file, or as near as it gets, alone and in the best
pairs; every model is trained on for as long, written as a file, and timed in turns with the dense
one. Each finished run is in the results; one that was stopped goes on from its last checkpoint, or
anew where it is short. What a family does is in `recipes`, how strong it is in `networks`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS, ROOT, SHARED
from scripts.lab.options import (
    PENN_TREEBANK,
    OneLineParser,
    add_changed,
    add_checkpoints,
    add_data,
    add_names,
    add_out,
    add_seeds,
)
from scripts.lab.results_file import Job, Record, ResultsFile
from scripts.readme.markdown import with_caption
from scripts.studies.survey import survey_plot, survey_table
from scripts.studies.survey.networks import LONG, NETWORKS, Strength
from scripts.studies.survey.recipes import RECIPES
from scripts.studies.survey.runs import DENSE, Experiment
from tfprune.support.typed_text import number

PROGRAM = "survey"
WEIGHTS = SHARED / "resnet20_cifar10" / "resnet20_cifar10_keras.npz"
SEEDS = (0, 1, 2)
MEASURES = ("before", "after", "nonzeros", "parameters", "bytes", "gzip_bytes", "agreement")
TIMED = ("native_ms", "native_ratio", "wasm_ms", "wasm_ratio")
CODED = ("micro_bytes", "micro_gzip_bytes", "micro_agreement")
# Network and seed, the most telling first; the trainings in `LONG` come where they stand here.
ORDER: tuple[tuple[str, int, str | None], ...] = (
    ("lenet_5", 0, None),
    ("lenet_300_100", 0, None),
    ("resnet20", 0, "ternary"),
    ("resnet20", 0, None),
    ("resnet20", 0, "binary"),
    ("lstm", 0, None),
    ("lenet_300_100", 1, None),
    ("lenet_300_100", 2, None),
    ("lenet_5", 1, None),
    ("lenet_5", 2, None),
    ("vgg16", 0, None),
)


def jobs_of(
    networks: Sequence[str], recipes: Sequence[str], seeds: Sequence[int] = SEEDS
) -> list[Job]:
    """Return the runs, the most telling first."""
    found = []
    for name, seed, only in ORDER:
        network = NETWORKS[name]
        methods = {DENSE: Strength(), **network.methods}
        if only is not None:
            methods = {DENSE: Strength(), only: LONG[name][only]}
        for recipe, strength in methods.items():
            if name in networks and recipe in recipes and seed in seeds:
                steps = 0 if recipe == DENSE else strength.steps or network.steps
                options = {**strength.options, "steps": steps, "rate": strength.rate}
                seconds = 40 + network.step_seconds * (steps or network.dense_steps)
                job = Job(f"{name} {recipe}", 0.0, seed, options, seconds)
                if job not in found:
                    found.append(job)
    return found


def strength_of(name: str, recipe: str) -> Strength:
    """Return how strong a recipe is on a network."""
    return {**NETWORKS[name].methods, **LONG.get(name, {})}.get(recipe, Strength())


def summarize(settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(record["method"] for record in records):
        group = [record for record in records if record["method"] == name]
        measures = [m for m in (*MEASURES, *TIMED, *CODED) if _measured(m, group)]
        (row,) = experiments.aggregate(group, measures)
        rows.append({**row, "lines": group[0]["lines"], "steps": group[0]["options"]["steps"]})
    return {
        "command": f"python -m scripts.studies.{PROGRAM}",
        "versions": {**measuring.versions(), **measuring.runtime_versions()},
        "networks": {name: network.label for name, network in NETWORKS.items()},
        "labels": {name: label for name, (label, _) in RECIPES.items()},
        "rows": rows,
    }


def _measured(measure: str, group: list[Record]) -> bool:
    return all(record.get(measure) is not None for record in group)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    add_names(parser, "--networks", NETWORKS)
    add_names(parser, "--recipes", RECIPES)
    add_seeds(parser, SEEDS)
    add_data(parser)
    add_data(parser, "--text-dir", PENN_TREEBANK)
    parser.add_argument(
        "--lstm",
        type=Path,
        metavar="FILE",
        help="checkpoint of the comparison's dense LSTM; without it, none is run",
    )
    parser.add_argument(
        "--resnet20",
        type=Path,
        default=WEIGHTS,
        metavar="FILE",
        help="weights of ResNet-20, see models.load_resnet20; default: in ../shared/data",
    )
    add_checkpoints(parser, ROOT / "results" / PROGRAM)
    add_changed(parser)
    parser.add_argument(
        "--runs",
        type=number(int, "an integer in [1, 10^6]", 1, 10**6 + 1),
        default=40,
        metavar="N",
        help="timed turns of each file; default: %(default)s",
    )
    add_out(parser, RESULTS / f"{PROGRAM}.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    known = {"resnet20": (args.data_dir, args.resnet20), "lstm": (args.text_dir, args.lstm)}

    def work() -> None:
        names = [name for name in args.networks if name != "lstm" or args.lstm is not None]
        settings = {"threads": measuring.threads(), "runs": args.runs}
        results = ResultsFile(args.out, settings, lambda records: summarize(settings, records))
        opened: dict[str, Experiment] = {}

        def run(job: Job) -> dict[str, Any]:
            name, recipe = job.method.split()
            if name not in opened:
                opened.clear()  # one network's data at a time
                network = NETWORKS[name]
                task = network.task(*known.get(name, (args.data_dir, None)))
                opened[name] = Experiment(
                    name, network, task, args.checkpoints, args.changed, args.runs
                )
            return opened[name].run(recipe, strength_of(name, recipe), job)

        experiments.run_all(jobs_of(names, args.recipes, args.seeds), results, run)
        found = json.loads(args.out.read_text(encoding="utf-8"))
        experiments.say(with_caption(survey_table.survey(found), left=2))
        survey_plot.write(found, args.out.with_suffix(".png"))

    return experiments.exit_status(PROGRAM, work)
