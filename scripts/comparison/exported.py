"""Finished runs of the comparison as files: quality beside bytes and latency.

    python -m scripts.comparison.exported cnn --preset cifar10

Every finished run of a seed, or those that `--only` names, is read from its checkpoint, exported
for this machine, for WebAssembly and for the fewest bytes, and timed beside the largest dense model
of them, in turns, batch 1, one thread. A family says of which sizes its files are where the models
take any (`protocol.Training.exported`). Quality is that of the results file. Writes a JSON file and
a PNG plot.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import keras

from scripts.comparison import comparison_plot
from scripts.comparison.command import MODULES, add_folders, named
from scripts.comparison.families import FAMILIES, Family
from scripts.lab import experiments, measuring
from scripts.lab.folders import RESULTS, require_place
from scripts.lab.options import OneLineParser
from scripts.lab.results_file import Job, Record, ResultsFile, as_stored
from tfprune.export import benchmark, to_tflite
from tfprune.export.run import wasm
from tfprune.support.typed_text import number

PROGRAM = "exported"
RUNTIMES = {"native": "x86", "wasm": "wasm"}  # -> target of the file that is timed
RUNS = 50


def measure(models: dict[str, keras.Model]) -> dict[str, dict[str, Any]]:
    """Return what the files of models take: name -> bytes, and latency in each runtime.

    Args:
        models: name -> plain model; the first is what the others are compared with.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in models}
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        for name, model in models.items():
            told = to_tflite(model, f"{folder}/{name}-size.tflite", target="size")
            found[name] |= {"bytes": told.bytes, "gzip_bytes": told.gzip_bytes}
        for runtime, target in RUNTIMES.items():
            if runtime == "wasm" and not wasm.is_installed():
                continue
            paths = {name: f"{folder}/{name}-{target}.tflite" for name in models}
            for name, path in paths.items():
                options: dict[str, Any] = {"target": target}
                to_tflite(models[name], path, lower_conv3x3=target == "wasm", **options)
            for timing in benchmark(paths, runs=RUNS, runtime=runtime):
                found[timing.name][f"{runtime}_ms"] = timing.median_ms
                found[timing.name][f"{runtime}_speed_up"] = timing.speed_up
    return found


def finished(jobs: Sequence[Job], records: Sequence[Record]) -> list[tuple[Job, Record]]:
    """Return the jobs that have a record, largest dense model first, then by bytes.

    Raises:
        ValueError: if a record was made with other options.

    Example:
        >>> jobs = [Job("dense-8", 0.0, 0), Job("dense-16", 0.0, 0), Job("pruned-16", 0.9, 0)]
        >>> made = zip(jobs, (8, 16))
        >>> records = [{**job.key, "options": {}, "dense_bytes": size} for job, size in made]
        >>> [str(job) for job, _ in finished(jobs, records)]
        ['dense-16 at 0, seed 0', 'dense-8 at 0, seed 0']
    """
    pairs = [(j, r) for j in jobs for r in records if j.key.items() <= r.items()]
    for job, record in pairs:
        options = as_stored(job.options)
        if record["options"] != options:
            raise ValueError(
                f"the results have {job} with other options than the preset ({record['options']} "
                f"there, {options} here)"
            )
    return sorted(pairs, key=lambda pair: (pair[0].sparsity > 0, -pair[1]["dense_bytes"]))


def summarize(
    family: Family, settings: dict[str, Any], records: list[Record], trained: dict[str, Any]
) -> dict[str, Any]:
    """Return the head of the results file."""
    quality = {(row["method"], row["sparsity"]): row[family.measure] for row in trained["rows"]}
    rows = [{**r, family.measure: quality[r["method"], r["sparsity"]]} for r in records]
    chosen = f" --only {' '.join(settings['only'])} --out FILE" if "only" in settings else ""
    seed = f" --seed {settings['seed']}" if "seed" in settings else ""
    return {
        "command": f"python -m scripts.comparison.{PROGRAM} {family.name} "
        f"--preset {settings['preset']}{seed}{chosen}",
        "versions": measuring.versions() | measuring.runtime_versions(),
        "rows": rows,
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("family", choices=FAMILIES, help="which models are exported")
    parser.add_argument("--preset", required=True, metavar="NAME", help="of the family")
    parser.add_argument(
        "--seed",
        type=number(int, "an integer in [0, 99]", 0, 100),
        default=0,
        metavar="N",
        help="of the runs; default: %(default)s",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="METHOD",
        help="methods such as dense-200 or pruned-400:0.9; needs `--out`; default: all",
    )
    add_folders(parser)
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    family, module = FAMILIES[args.family], MODULES[args.family]
    if args.preset not in module.PRESETS:
        known = ", ".join(module.PRESETS)
        raise ValueError(f"`--preset` must be one of {known}. Received: {args.preset}")
    name = f"{family.name}_{args.preset}"
    file = RESULTS / f"{name}.json"
    if not file.exists():
        raise ValueError(f"`--preset` must have results. Received: {args.preset}, without {file}")
    trained = json.loads(file.read_text(encoding="utf-8"))
    settings = {"family": family.name, "preset": args.preset, "runs": RUNS}
    settings |= {"inference": module.PROTOCOL.inference} if module.PROTOCOL.inference else {}
    settings |= {"seed": args.seed} if args.seed else {}
    jobs = module.jobs(args.preset, args.seed)
    if args.only is not None:
        if args.out is None:
            raise ValueError("`--only` needs `--out`, the file of those runs. Received: none")
        jobs = named(jobs, args.only)
        settings |= {"only": args.only}
    out = args.out or RESULTS / f"{PROGRAM}_{name}.json"
    comparison_plot.require_other_ending(out)
    plot = out.with_suffix(".png")
    pairs = finished(jobs, trained["records"])
    if not pairs:
        raise ValueError(f"{file} has none of the runs asked for, with seed {args.seed}")
    results = ResultsFile(out, settings, lambda r: summarize(family, settings, r, trained))
    require_place(plot, name="--out")
    chosen = {f"{job.method}-{job.sparsity:g}": job for job, _ in pairs}
    options = {"data_dir": args.data_dir, "changed": args.changed}
    options |= {"mixed": True} if trained["settings"].get("mixed") else {}
    models = {
        label: module.PROTOCOL.exported(job, args.preset, args.checkpoints, **options)
        for label, job in chosen.items()
    }
    # All files are timed in one run, whose records take the place of older ones.
    results.records = [
        {**chosen[label].key, "options": chosen[label].options, **values}
        for label, values in measure(models).items()
    ]
    results.save()
    content = summarize(family, settings, results.records, trained)
    comparison_plot.write(family, content, plot, comparison_plot.FILES)
    experiments.say(f"wrote {out} and {plot}")


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    again = "it measures all files anew"
    return experiments.exit_status(PROGRAM, lambda: run(args), again=again)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
