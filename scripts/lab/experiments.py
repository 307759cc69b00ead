"""What the long experiments share: the loop over their jobs, statistics and options."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from scripts.lab.options import add_data, add_names, add_out, add_seeds
from scripts.lab.results_file import Job, Record, ResultsFile
from tfprune.support.typed_text import number


def run_all(
    jobs: Sequence[Job],
    results: ResultsFile,
    run: Callable[[Job], dict[str, Any]],
) -> None:
    """Run the jobs that have no record yet, in order; add their records and print how it goes.

    Args:
        jobs: all jobs of the experiment; one that is named again is run once.
        results: where records go; each gets the `seconds` and `cpu_seconds` of its job besides,
            unless the job's results have them: one that goes on from a checkpoint counts what was
            spent before too.
        run: job -> its results, as plain values.

    Raises:
        ValueError: if a job is there with two sets of options.
    """
    jobs = _once_each(jobs)
    waiting = [job for job in jobs if results.find(job) is None]
    left = remaining_seconds(waiting, jobs, results)
    say(f"{len(jobs)} runs, {len(jobs) - len(waiting)} done before; about {duration(left)} to go")
    for position, job in enumerate(waiting, start=1):
        if results.find(job) is not None:
            say(f"[{position}/{len(waiting)}] {job}: done by another process")
            continue
        wall, processor = time.perf_counter(), time.process_time()
        values = run(job)
        spent = {
            "seconds": round(time.perf_counter() - wall, 2),
            "cpu_seconds": round(time.process_time() - processor, 2),
        }
        results.add(job, {**spent, **values})
        left = remaining_seconds(waiting[position:], jobs, results)
        figures = ", ".join(f"{k} {v:.4f}" for k, v in values.items() if isinstance(v, float))
        say(
            f"[{position}/{len(waiting)}] {job}: {figures}; {duration(spent['seconds'])}, about "
            f"{duration(left)} left"
        )
    results.save()  # labels may have changed since the last record
    say(f"wrote {results.path}")


def _once_each(jobs: Sequence[Job]) -> list[Job]:
    found: dict[Job, Job] = {}
    for job in jobs:
        first = found.setdefault(job, job)
        if first.options != job.options:
            raise ValueError(
                f"`jobs` must have one set of options for each. Received: {job}, with "
                f"{first.options} and {job.options}"
            )
    return [*found]


def remaining_seconds(waiting: Sequence[Job], jobs: Sequence[Job], results: ResultsFile) -> float:
    """Return how long the waiting jobs will take, from the times of those that are done.

    A method that has been timed takes its median; another takes what was expected of it, times the
    factor by which the timed ones were slower than expected.
    """
    timed: dict[str, list[float]] = {}
    expected = 0.0
    for job in jobs:
        record = results.find(job)
        if record is not None and "seconds" in record:
            timed.setdefault(job.method, []).append(record["seconds"])
            expected += job.seconds
    factor = sum(map(sum, timed.values())) / expected if timed else 1.0
    return sum(
        statistics.median(timed[job.method]) if job.method in timed else factor * job.seconds
        for job in waiting
        if results.find(job) is None
    )


def aggregate(records: Iterable[Record], measures: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row for each method and sparsity, in order of first appearance.

    Each measure becomes {"mean", "sd"}: mean and sample standard deviation over the seeds, the
    latter None where there is one only.

    Example:
        >>> runs = [{"method": "a", "sparsity": 0.5, "seed": s, "x": float(s)} for s in (0, 1, 2)]
        >>> aggregate(runs, ["x"])
        [{'method': 'a', 'sparsity': 0.5, 'seeds': [0, 1, 2], 'x': {'mean': 1.0, 'sd': 1.0}}]
    """
    groups: dict[tuple[str, float], list[Record]] = {}
    for record in records:
        groups.setdefault((record["method"], record["sparsity"]), []).append(record)
    return [
        {
            "method": method,
            "sparsity": sparsity,
            "seeds": sorted(record["seed"] for record in group),
            **{name: _mean_and_deviation([r[name] for r in group]) for name in measures},
        }
        for (method, sparsity), group in groups.items()
    ]


def _mean_and_deviation(values: list[float]) -> dict[str, float | None]:
    deviation = round(statistics.stdev(values), 6) if len(values) > 1 else None
    return {"mean": round(statistics.mean(values), 6), "sd": deviation}


def duration(seconds: float) -> str:
    """Return a time in words.

    Example:
        >>> duration(42.4), duration(100), duration(9000)
        ('42 s', '2 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def say(line: str) -> None:
    print(line, flush=True)


def add_job_options(
    parser: argparse.ArgumentParser,
    methods: Collection[str],
    sparsities: Sequence[float],
    seeds: Sequence[int],
    out: Path,
) -> None:
    """Add the options that choose jobs, data and results file, with these defaults."""
    add_names(parser, "--methods", methods)
    parser.add_argument(
        "--sparsities",
        nargs="+",
        type=number(float, "a fraction in (0, 1)", 1e-9, 1),
        default=list(sparsities),
        metavar="S",
        help=f"default: {' '.join(map(str, sparsities))}",
    )
    add_seeds(parser, seeds)
    add_data(parser)
    add_out(parser, out)


def exit_status(
    program: str, work: Callable[[], None], *, again: str = "it goes on from here"
) -> int:
    """Do the work; return 0, or 2 after a wrong value and 130 after Ctrl-C, with one line each.

    Args:
        program: its name.
        work: to be done.
        again: what becomes of the work if it is started again after Ctrl-C.
    """
    try:
        work()
    except ValueError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: stopped; started again, {again}", file=sys.stderr)
        return 130
    return 0
