"""What the pruning recipe of a family changes: the same model and sparsity, one thing otherwise.

    python -m scripts.studies.recipe_variants cnn
    python -m scripts.studies.recipe_variants lstm --seeds 3 --variants cpu-early cpu-softmax

Trains the largest model of the family's `cpu` preset, pruned as far as there, with the preset's own
recipe and with each of its variants: the sparsity rising earlier or later, layers left dense, or
another learning rate. Writes a JSON file; a run that was stopped goes on where it was.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from scripts.comparison import command as comparison
from scripts.comparison import training
from scripts.comparison.families import FAMILIES, Family
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS
from scripts.lab.options import OneLineParser
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.support.typed_text import number

PROGRAM = "recipe_variants"
BASE = "cpu"


def jobs(
    module: Any, seeds: int, variants: Sequence[str] | None = None
) -> list[tuple[Job, str, Job]]:
    """Return (job, preset, the preset's own job) of the base and of each variant.

    Args:
        module: of the family.
        seeds: how many, from 0 on.
        variants: which; None is all.

    Raises:
        ValueError: for an unknown variant.
    """
    chosen = list(module.VARIANTS) if variants is None else variants
    for name in chosen:
        if name not in module.VARIANTS:
            known = ", ".join(module.VARIANTS)
            raise ValueError(f"`--variants` must be among {known}. Received: {name}")
    found = []
    for seed in range(seeds):
        for preset in (BASE, *chosen):
            own = module.jobs(preset, seed)[-1]
            job = Job(preset, own.sparsity, seed, own.options, own.seconds)
            found.append((job, preset, own))
    return found


def summarize(family: Family, settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    seeds = len({record["seed"] for record in records})
    return {
        "command": f"python -m scripts.studies.{PROGRAM} {family.name} --seeds {seeds}",
        "versions": settings["versions"],
        "rows": experiments.aggregate(records, [family.measure, "nonzeros", "cpu_seconds"]),
    }


def run(args: argparse.Namespace) -> None:
    training.leave_gpu_to_backend()
    family, module = FAMILIES[args.family], comparison.MODULES[args.family]
    settings = {
        "family": family.name,
        "threads": measuring.threads(),
        "versions": measuring.versions(),
    }
    out = args.out or RESULTS / f"recipe_{family.name}.json"
    results = ResultsFile(out, settings, lambda records: summarize(family, settings, records))
    every = {job: (preset, own) for job, preset, own in jobs(module, args.seeds, args.variants)}

    def train(job: Job) -> dict[str, Any]:
        preset, own = every[job]
        return module.train(
            own,
            preset,
            own.seed,
            args.checkpoints,
            data_dir=args.data_dir,
            changed=args.changed,
        )

    experiments.run_all(list(every), results, train)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("family", choices=FAMILIES, help="which model is pruned")
    parser.add_argument(
        "--seeds",
        type=number(int, "an integer in [1, 100]", 1, 101),
        default=1,
        metavar="N",
        help="how many; default: %(default)s",
    )
    known = "; ".join(f"{k}: {', '.join(m.VARIANTS)}" for k, m in comparison.MODULES.items())
    parser.add_argument(
        "--variants", nargs="+", metavar="NAME", help=f"{known}; default: all of the family"
    )
    comparison.add_folders(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    return experiments.exit_status(PROGRAM, lambda: run(args))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
