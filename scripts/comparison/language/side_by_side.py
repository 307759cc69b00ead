"""All models of one width trained side by side on an accelerator, by JAX.

    KERAS_BACKEND=jax python -m scripts.comparison.language.side_by_side paper 650 --seeds 1

The step of one such LSTM is thousands of small kernels that leave an accelerator idle: `jax.vmap`
makes the same step of the dense model and of its pruned copies, and of several seeds, in little
more time than one takes. Every run is what `language_models.train` trains (same initial weights,
batches, rates, masks), but that dropout draws differ with the kernels; a dense model has masks of
ones. Records go to the results file when a width is done, and nothing before.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from scripts.comparison import comparison_table
from scripts.comparison.families import FAMILIES
from scripts.comparison.language import language_models, vmapped
from scripts.lab import experiments, measuring, sparse_weights
from scripts.lab.folders import RESULTS
from scripts.lab.options import PENN_TREEBANK, OneLineParser, add_data
from scripts.lab.results_file import Record, ResultsFile
from tfprune.support.files import require_writable
from tfprune.support.typed_text import number

PROGRAM = "side_by_side"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("preset", help="of the language models")
    parser.add_argument("units", nargs="+", type=int, help="widths, trained one after the other")
    parser.add_argument(
        "--seeds",
        type=number(int, "an integer in [1, 100]", 1, 101),
        default=1,
        metavar="N",
        help="how many; default: %(default)s",
    )
    add_data(parser, about=PENN_TREEBANK)
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: in scripts/results")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for their weights")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """Train what has no record yet, width by width; the records of a width come together.

    Raises:
        ValueError: for another backend than JAX, a preset or width that is not known, text that is
            missing, or a file or folder that cannot be written.
    """
    if (backend := keras.backend.backend()) != "jax":
        raise ValueError(f"`KERAS_BACKEND` must be jax. Received: {backend}")
    every = [j for seed in range(args.seeds) for j in language_models.jobs(args.preset, seed)]
    known = dict.fromkeys(job.options["units"] for job in every)
    if unknown := [units for units in args.units if units not in known]:
        raise ValueError(
            f"`units` must be among {', '.join(map(str, known))} for {args.preset}. "
            f"Received: {unknown[0]}"
        )
    if args.keep is not None:
        _require_folder(args.keep)
    family = FAMILIES["lstm"]
    settings = {"family": family.name, "preset": args.preset}

    def summarize(records: list[Record]) -> dict[str, Any]:
        return {
            "command": command(args.preset, records),
            **comparison_table.summary(family, records),
        }

    results = ResultsFile(args.out or RESULTS / f"lstm_{args.preset}.json", settings, summarize)
    for units in args.units:
        waiting = [j for j in every if j.options["units"] == units and results.find(j) is None]
        if not waiting:
            experiments.say(f"{units}: nothing to train")
            continue
        experiments.say(f"{units}: {', '.join(map(str, waiting))}")
        found = vmapped.train(waiting, args.preset, data_dir=args.data_dir)
        for job, (values, _) in zip(waiting, found, strict=True):
            results.add(job, {"trained_on": [measuring.where()], **values})
            shown = ", ".join(f"{k} {v:.2f}" for k, v in values.items() if "perplexity" in k)
            experiments.say(f"{job}: {shown}; {values['nonzeros']:,} nonzeros")
        if args.keep is not None:
            for job, (_, model) in zip(waiting, found, strict=True):
                name = f"lstm-{args.preset}-{job.method}-{job.sparsity:g}-{job.seed}.weights.npz"
                sparse_weights.save(model, args.keep / name)


def _require_folder(keep: Path) -> None:
    """Make the folder for weights, now rather than after the training."""
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"`--keep` must be a writable folder. Received: {keep} ({error.strerror})"
        ) from error
    require_writable(keep / ".weights.npz", name="--keep")


def command(preset: str, records: list[Record]) -> str:
    """Return the command, or commands, that the records are of: one for each number of seeds.

    Example:
        >>> one = {"method": "dense-200", "seed": 0, "options": {"units": 200}}
        >>> command("paper", [one, {**one, "seed": 1}]).split("side_by_side ")[1]
        'paper 200 --seeds 2'
    """
    widths: dict[int, set[int]] = {}
    for record in records:
        widths.setdefault(record["options"]["units"], set()).add(record["seed"])
    commands = []
    for seeds in sorted({len(found) for found in widths.values()}):
        own = " ".join(str(units) for units, found in sorted(widths.items()) if len(found) == seeds)
        commands.append(
            f"python -m scripts.comparison.language.{PROGRAM} {preset} {own} --seeds {seeds}"
        )
    return " and ".join(commands)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    again = "it trains every width without records anew"
    return experiments.exit_status(PROGRAM, lambda: run(args), again=again)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
