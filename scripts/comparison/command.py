"""Large-sparse against small-dense models: quality at the same memory footprint.

    python -m scripts.comparison cnn
    python -m scripts.comparison lstm --preset cpu --seeds 3
    python -m scripts.comparison nmt --quick

Dense models of several sizes and the largest one, pruned gradually to several sparsities, are
trained alike (Zhu & Gupta, arXiv 1710.01878). Writes a JSON file, a plot of quality against
footprint beside it, and prints the table. A run that was stopped goes on from the last finished
model, and that one from its last checkpoint.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from scripts.comparison import comparison_plot, comparison_table, training
from scripts.comparison.families import FAMILIES, Family
from scripts.comparison.images import classifiers
from scripts.comparison.language import bfloat16, language_models
from scripts.comparison.translation import translation_models
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS, ROOT
from scripts.lab.options import ANY_DATA, OneLineParser, add_changed, add_checkpoints, add_data
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.reports.tables import plain_text, table
from tfprune.support.long_work import progress
from tfprune.support.typed_text import number

PROGRAM = "large_sparse_vs_small_dense"
CHECKPOINTS = ROOT / "results" / PROGRAM
_PRESET = "cpu"
MODULES = {"cnn": classifiers, "lstm": language_models, "nmt": translation_models}


class _Bar(keras.callbacks.Callback):
    """Moves a progress bar by one after each batch."""

    def __init__(self, advance: Callable[..., None]):
        super().__init__()
        self._advance = advance

    def on_train_batch_end(self, batch, logs=None):
        self._advance()


def run_family(
    family: Family,
    preset: str,
    seeds: int,
    out: Path,
    checkpoints: Path,
    data_dir: Path | None,
    *,
    only: Sequence[str] | None = None,
    changed: str = "refuse",
    mixed: bool = False,
) -> ResultsFile:
    """Train what is missing, model by model.

    Args:
        family: of `FAMILIES`.
        preset: one of its presets.
        seeds: how many, from 0 on.
        out: results file.
        checkpoints: folder for the checkpoint of the model in training.
        data_dir: folder of the data, None to search it.
        only: methods, or method:sparsity, in the order of their training; None is all.
        changed: what to do with a checkpoint of other code or data, as of `Checkpoint`.
        mixed: train in mixed precision; language models only.

    Returns:
        The results.
    """
    precision = {"mixed": True} if mixed else {}
    settings = {"family": family.name, "preset": preset, **precision}
    training.leave_gpu_to_backend()
    module = MODULES[family.name]
    jobs = [job for seed in range(seeds) for job in module.jobs(preset, seed)]
    if only is not None:
        jobs = named(jobs, only)
    results = ResultsFile(out, settings, lambda records: summarize(family, settings, records))

    def train(job: Job) -> dict[str, Any]:
        with progress(f"{job}", quiet=False) as advance:
            found = module.train(
                job,
                preset,
                job.seed,
                checkpoints,
                data_dir=data_dir,
                callbacks=[_Bar(advance)],
                changed=changed,
                **precision,
            )
        return {"trained_on": [measuring.where()], **found}

    whole = experiments.duration(sum(job.seconds for job in jobs))
    experiments.say(f"{family.title}, preset {preset!r}: about {whole} on one core in all")
    experiments.run_all(jobs, results, train)
    return results


def named(jobs: list[Job], names: Sequence[str]) -> list[Job]:
    """Return the jobs of methods, or those of a method:sparsity, in the order of their names.

    Raises:
        ValueError: if there are none of one of the names.
    """
    found = []
    for name in names:
        own = [job for job in jobs if name in (job.method, f"{job.method}:{job.sparsity:g}")]
        if not own:
            known = ", ".join(dict.fromkeys(job.method for job in jobs))
            raise ValueError(
                f"`--only` must be among {known}, or such a name:sparsity. Received: {name}"
            )
        found += own
    return found


def summarize(family: Family, settings: dict[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the head of the results file."""
    seeds = len({record["seed"] for record in records})
    return {
        "command": f"python -m scripts.comparison {family.name} --preset {settings['preset']} "
        f"--seeds {seeds}{' --mixed' * settings.get('mixed', False)}",
        **comparison_table.summary(family, records),
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("family", choices=FAMILIES, help="which models are compared")
    known = "; ".join(f"{name}: {', '.join(m.PRESETS)}" for name, m in MODULES.items())
    preset = parser.add_mutually_exclusive_group()
    preset.add_argument("--preset", metavar="NAME", help=f"{known}; default: {_PRESET}")
    preset.add_argument("--quick", action="store_true", help="the preset that takes minutes")
    parser.add_argument(
        "--seeds",
        type=number(int, "an integer in [1, 100]", 1, 101),
        default=3,
        metavar="N",
        help="how many; default: %(default)s",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="METHOD",
        help="methods such as dense-200 or pruned-400:0.9, in the order of their training; "
        "default: all",
    )
    parser.add_argument(
        "--mixed",
        action="store_true",
        help="train in bfloat16, measure in float32: language models with KERAS_BACKEND=jax, which "
        "takes half the time on a CPU with AMX",
    )
    add_folders(parser)
    return parser.parse_args(arguments)


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where data, checkpoints and results are."""
    add_data(parser, about=ANY_DATA)
    add_checkpoints(parser, CHECKPOINTS)
    add_changed(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="JSON file to write or go on with; default: in scripts/results",
    )


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    family, known = FAMILIES[args.family], MODULES[args.family].PRESETS
    preset = "quick" if args.quick else args.preset or _PRESET

    def work() -> None:
        if preset not in known:
            raise ValueError(
                f"`--preset` must be one of {', '.join(known)} for "
                f"{args.family}. Received: {preset}"
            )
        out = args.out or RESULTS / f"{args.family}_{preset}.json"
        if args.mixed and args.family != "lstm":
            raise ValueError(f"`--mixed` must be left out but for lstm. Received: {args.family}")
        if args.mixed:
            bfloat16.require_jax()
        comparison_plot.require_other_ending(out)
        results = run_family(
            family,
            preset,
            args.seeds,
            out,
            args.checkpoints,
            args.data_dir,
            only=args.only,
            changed=args.changed,
            mixed=args.mixed,
        )
        content = summarize(family, {"preset": preset}, results.records)
        headings, rows = comparison_table.headings(family), comparison_table.rows(family, content)
        experiments.say(plain_text(table(headings, rows)))
        for line in (*comparison_table.wins(family, content["rows"]), comparison_table.MEASURES):
            experiments.say(line)
        comparison_plot.write(family, content, out.with_suffix(".png"))
        experiments.say(f"wrote {out.with_suffix('.png')}")

    return experiments.exit_status(PROGRAM, work)
