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
from tfprune.cli.commands import advice, finetuning, models
from tfprune.cli.data import sources
from tfprune.cli.data.task import Task, task_for
from tfprune.cli.terminal import Outcome, written
from tfprune.export.run.bench import benchmark
from tfprune.export.tflite import to_tflite
from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.private_keras import structures_of
from tfprune.reports.tables import table
from tfprune.support.files import replacing

_TOLERANCE = 1e-3  # of the largest output; a cut model agrees to rounding, about 1e-6


def run(args: argparse.Namespace) -> Outcome:
    """Shrink `args.model` into `args.output`, or a file beside it."""
    model = models.load(args.model, args.modules, args.allow_lambda)
    task = None
    if args.data is not None:
        task = task_for(model, sources.of_command(args, model), args.loss)
    teacher = finetuning.teacher_of(model, args)
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
    if not difference <= _TOLERANCE:  # NaN, too, is refused
        raise ValueError(
            f"the smaller model must agree with the original without its channels. Received: a "
            f"difference of {difference:.2g} of the largest output; nothing was written"
        )
    exports = keras.backend.backend() == "tensorflow"
    measured = _measured(model, small) if args.latency and exports else {}
    accuracy = None if task is None else _accuracy(task, model, small, teacher, args)
    with replacing(args.output, name="--output") as new:
        small.save(new)
    if args.html is not None:
        found.to_html(args.html)
    data: dict[str, Any] = {
        "output": args.output,
        "replaced": args.replaces,
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
        "accuracy": accuracy,
    }
    return Outcome(data, (str(found), "", _table(found, data, task), _written(args, data, task)))


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


def _accuracy(
    task: Task,
    model: keras.Model,
    small: keras.Model,
    teacher: keras.Model | None,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Return the accuracies, once the smaller model is fine-tuned in place if that is asked for."""
    cut = task.measured(small)
    found: dict[str, Any] = {
        "data": task.data.name,
        "measure": task.measure,
        "before": task.measured(model),
        "cut": cut,
        "after": cut,
    }
    if args.epochs is None:
        return found | {"training": None}
    graph = graph_of(small)
    assert graph is not None  # as `plan` has asked
    trained = keras.Model(*structures_of(graph))  # of the same layers; it has the optimizer
    training = finetuning.recover(trained, task, args, cut, teacher)
    return found | {"after": training[f"{task.measure}_after"], "training": training}


def _table(found: ChannelPlan, data: dict[str, Any], task: Task | None) -> Table:
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
    accuracy = data["accuracy"]
    if task is not None:
        before_it, cut, after_it = (
            task.in_words(accuracy[key]) for key in ("before", "cut", "after")
        )
        rows.append((f"{accuracy['measure']} on {accuracy['data']}", before_it, cut))
        if accuracy["training"] is not None:
            epochs = accuracy["training"]["epochs"]
            taught = ", with a teacher" * (accuracy["training"]["teacher"] is not None)
            rows.append(
                (f"the same after {epochs} epoch{'s' * (epochs > 1)}{taught}", "", after_it)
            )
    return table(("", "before", "after"), rows)


def _written(args: argparse.Namespace, data: dict[str, Any], task: Task | None) -> str:
    lines = [f"\n{written(args)}"]
    if args.html is not None:
        lines.append(f"Written: {args.html}")
    if "speed_up" in data:
        lines.append(f"Speed-up: {data['speed_up']}")
    elif args.latency:
        lines.append("Bytes and latency are measured with KERAS_BACKEND=tensorflow alone.")
    if task is not None:
        lines += [f"Data: {remark}" for remark in task.data.remarks]
        lines.append(task.note(args.loss))
        measured = data["accuracy"]
        if task.measure == "accuracy":
            less = "a smaller cut (--macs nearer to 1, or less --sparsity)"
            lines += advice.on_accuracy(measured["before"], measured["after"], args, less=less)
    return "\n".join(lines)
