"""`tfprune shrink`: a smaller model without whole channels, units and heads."""

import argparse
import dataclasses
import os
import tempfile
from typing import Any

import keras
from rich.table import Table

from tfprune.channels.channel_plan import ChannelPlan
from tfprune.channels.planning import plan
from tfprune.channels.shrinking import prune, verify
from tfprune.cli.commands import models
from tfprune.cli.commands.classification import Task, task_for
from tfprune.cli.commands.data import load
from tfprune.cli.terminal import Outcome
from tfprune.export.run.bench import benchmark
from tfprune.export.tflite import to_tflite
from tfprune.reports.tables import table
from tfprune.support.files import replacing

_TOLERANCE = 1e-3  # of the largest output; a cut model agrees to rounding, about 1e-6


def run(args: argparse.Namespace) -> Outcome:
    """Shrink `args.model` into `args.output`, or a file beside it."""
    model = models.load(args.model, args.modules, args.allow_lambda)
    task = None if args.data is None else task_for(model, load(args.data, args.data_dir))
    found = plan(
        model,
        args.sparsity,
        macs=args.macs,
        parameters=args.parameters,
        latency_ms=args.latency_ms,
        scorer=args.scorer,
        data=None if task is None else task.data.training,
        loss=None if task is None else task.loss,
        scope=args.scope,
        round_to=args.round_to,
        rules=args.rules,
        examples=args.examples,
        seed=args.seed,
    )
    small = prune(model, found)
    difference = verify(model, found, small)
    if difference > _TOLERANCE:
        raise ValueError(
            f"the smaller model must agree with the original without its channels. Received: a "
            f"difference of {difference:.2g} of the largest output; nothing was written"
        )
    measured = _measured(model, small) if args.latency else {}
    with replacing(args.output, name="--output") as new:
        small.save(new)
    if args.html is not None:
        found.to_html(args.html)
    data: dict[str, Any] = {
        "output": args.output,
        "html": args.html,
        "groups": [
            {"layers": list(part.group.layers), "before": part.size, "after": part.kept}
            for part in found.groups
        ],
        "before": dataclasses.asdict(found.before),
        "after": dataclasses.asdict(found.after),
        "exact": found.exact,
        "latency": None if found.latency is None else dataclasses.asdict(found.latency),
        "difference": difference,
        **measured,
        "accuracy": _accuracy(task, model, small),
    }
    return Outcome(data, (str(found), "", _table(found, data), _written(args, data)))


def _measured(model: keras.Model, small: keras.Model) -> dict[str, Any]:
    """Return bytes and latency of the exported files of both."""
    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        paths = {name: os.path.join(folder, f"{name}.tflite") for name in ("before", "after")}
        for part, path in zip((model, small), paths.values()):
            to_tflite(part, path)
        timings = benchmark(paths, threads=1, runs=50)
        sizes = [os.path.getsize(path) for path in paths.values()]
    return {
        "bytes": dict(zip(paths, sizes)),
        "median_ms": dict(zip(paths, (timing.median_ms for timing in timings))),
        "speed_up": timings[1].verdict,
    }


def _accuracy(task: Task | None, model: keras.Model, small: keras.Model) -> Any:
    if task is None:
        return None
    return {"data": task.data.name, "before": task.accuracy(model), "after": task.accuracy(small)}


def _table(found: ChannelPlan, data: dict[str, Any]) -> Table:
    before, after = found.before, found.after
    rows: list[tuple[str, ...]] = [
        ("parameters", f"{before.parameters:,}", f"{after.parameters:,}"),
        ("multiply-adds", f"{before.multiply_adds:,}", f"{after.multiply_adds:,}"),
    ]
    if "bytes" in data:
        rows.append(("bytes of the .tflite", *(f"{size:,}" for size in data["bytes"].values())))
        rows.append(
            (
                "latency, LiteRT, 1 thread",
                *(f"{value:.3g} ms" for value in data["median_ms"].values()),
            )
        )
    if data["accuracy"] is not None:
        shares = (data["accuracy"]["before"], data["accuracy"]["after"])
        rows.append((f"accuracy on {data['accuracy']['data']}", *(f"{s:.2%}" for s in shares)))
    return table(("", "before", "after"), rows)


def _written(args: argparse.Namespace, data: dict[str, Any]) -> str:
    lines = [f"\nWritten: {args.output}"]
    if args.html is not None:
        lines.append(f"Written: {args.html}")
    if "speed_up" in data:
        lines.append(f"Speed-up: {data['speed_up']}")
    return "\n".join(lines)
