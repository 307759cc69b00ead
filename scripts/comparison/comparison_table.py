"""The table of `large_sparse_vs_small_dense.py`, and which pruned models win."""

import math
from collections.abc import Sequence
from typing import Any

from scripts.comparison.families import Family
from scripts.lab import experiments, measuring
from scripts.lab.results_file import Record
from scripts.lab.tables import Table, environment, machines, versions
from tfprune.reports import measures

MEASURES = (
    "compression rate: bytes of the largest dense model's parameters in float32 / bytes of this "
    "model's as values and, where pruned, bit mask; space saving: 1 - the inverse of that (Cheng "
    "et al., arXiv 1710.09282). No speed-up: no inference is timed here."
)
_RUNTIMES = {"native": "LiteRT here", "wasm": "WebAssembly"}
_DEVIATIONS = 2.0  # by how many standard deviations a model has to be better


def summary(family: Family, records: list[Record]) -> dict[str, Any]:
    """Return the rows of a results file, and what belongs to them."""
    sizes = ["nonzeros", "bitmask_bytes", "csr_bytes", "dense_bytes"]
    rows = experiments.aggregate(records, [family.measure, *sizes, "cpu_seconds"])
    return {
        "versions": measuring.versions(),
        "published": family.published,
        "rows": [{**row, "places": _places(row, records), **compressed(row, rows)} for row in rows],
    }


def _places(row: dict[str, Any], records: list[Record]) -> list[str]:
    """Where the models of a row were trained, as far as their records say."""
    names = ("method", "sparsity")
    own = (each for each in records if all(each[name] == row[name] for name in names))
    return [*dict.fromkeys(place for each in own for place in each.get("trained_on", ()))]


def compressed(row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return bytes of a row's models, and what that saves of the largest dense model's.

    Dense models are stored as float32 numbers, pruned ones as their values and a bit mask.
    """
    largest = max(other["dense_bytes"]["mean"] for other in rows)
    stored = row["bitmask_bytes" if row["sparsity"] else "dense_bytes"]["mean"]
    return {
        "stored_bytes": stored,
        "compression_rate": round(measures.compression_rate(largest, stored), 4),
        "space_saving": round(measures.space_saving(largest, stored), 4),
    }


def headings(family: Family) -> tuple[str, ...]:
    """Return the headings of the table."""
    sizes = ("nonzeros", "bytes, bit mask", "bytes, CSR", "compression rate", "space saving")
    return ("model", "sparsity", family.label, *sizes, "CPU of a run")


def rows(family: Family, content: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each model, and one for each published figure.

    Args:
        family: the models' family.
        content: "rows" and "published" of a results file.
    """
    order = sorted(content["rows"], key=lambda row: (bool(row["sparsity"]), row["stored_bytes"]))
    cells = [_cells(family, row) for row in order]
    return cells + [
        (row["model"], "published", f"{row['quality']:g}", _count(row["nonzeros"]), *[""] * 5)
        for row in content["published"]
    ]


def readme(family: Family, run: dict[str, Any]) -> Table:
    """Return headings, rows and a line about the run, for the README."""
    found = " ".join(f"{line}." for line in wins(family, run["rows"]))
    commands = " and ".join(f"`{own}`" for own in run["command"].split(" and "))
    mixed = " Trained with products in bfloat16." * run["settings"].get("mixed", False)
    several = any(len(row["places"]) > 1 for row in run["rows"])
    untimed = " No time where the seeds of a model were trained on several machines." * several
    about = f"{found} {MEASURES}{untimed}{mixed} {commands}; {environment(run)}."
    return list(headings(family)), [list(row) for row in rows(family, run)], about


def files(family: Family, run: dict[str, Any]) -> Table:
    """Return headings, rows and a line about the run."""
    runtimes = [name for name in _RUNTIMES if f"{name}_ms" in run["rows"][0]]
    headings = ["model", "sparsity", family.label, "bytes", "gzip"]
    for name in runtimes:
        headings += [f"{_RUNTIMES[name]}, ms", "times as fast"]
    rows = []
    for row in run["rows"]:
        cells = [row["method"], f"{row['sparsity']:g}", _quality(family, row)]
        cells += [f"{row['bytes']:,}", f"{row['gzip_bytes']:,}"]
        for name in runtimes:
            cells += [f"{row[f'{name}_ms']:.3g}", f"{row[f'{name}_speed_up']:.2f}"]
        rows.append(cells)
    settings = run["settings"]
    inference = f", {settings['inference']}" if "inference" in settings else ""
    about = (
        f"Models of seed {settings.get('seed', 0)} as .tflite files, {family.label} of all seeds. "
        'Bytes with the target "size"; latencies of files made for each runtime, float32, batch '
        f"1{inference}, one thread, in turns, medians of {settings['runs']}; times as fast as the "
        f"first file. `{run['command']}`, on {machines(run)}; {versions(run)}."
    )
    return headings, rows, about


def wins(family: Family, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a sentence for each pruned model that beats dense ones with no fewer nonzeros.

    It has to be better by more than two standard deviations of the difference. Where one of the two
    was trained with one seed, which is said, the deviation of the other is taken for both, unless
    it is zero, as that of given weights is; where neither has one, the two are not compared.
    """
    by_how_much = "by more than two standard deviations of the difference"
    found = []
    for pruned in (row for row in rows if row["sparsity"]):
        losers = [own["method"] + _single(family, own) for own in beaten(family, pruned, rows)]
        if losers:
            found.append(
                f"{pruned['method']} at {pruned['sparsity']:g}{_single(family, pruned)} beats "
                f"{' and '.join(losers)}, with no more nonzeros, {by_how_much}"
            )
    if found:
        return found
    compared = [
        _beats(family, pruned, dense) is not None
        for pruned in rows
        for dense in _rivals(pruned, rows)
    ]
    if compared and not any(compared):
        return ["One seed has no deviation: no model is said to beat another"]
    where = "" if all(compared) else ", where there are deviations to tell"
    return [f"No pruned model beats a dense one with as many nonzeros {by_how_much}{where}"]


def beaten(
    family: Family, pruned: dict[str, Any], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the dense rows that a pruned one beats as `wins` asks; none for a dense row."""
    return [dense for dense in _rivals(pruned, rows) if _beats(family, pruned, dense)]


def _rivals(pruned: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The dense rows with no fewer nonzeros; none for a dense row."""
    return [
        dense
        for dense in rows
        if pruned["sparsity"]
        and not dense["sparsity"]
        and pruned["nonzeros"]["mean"] <= dense["nonzeros"]["mean"]
    ]


def _beats(family: Family, one: dict[str, Any], other: dict[str, Any]) -> bool | None:
    """None where there is no deviation to tell."""
    first, second = one[family.measure], other[family.measure]
    deviations = [value["sd"] for value in (first, second) if value["sd"] is not None]
    if len(deviations) < 2 and not any(deviations):
        return None
    gain = first["mean"] - second["mean"]
    if not family.higher_is_better:
        gain = -gain
    return bool(gain > _DEVIATIONS * math.hypot(deviations[0], deviations[-1]))


def _single(family: Family, row: dict[str, Any]) -> str:
    return " (one seed of it)" if row[family.measure]["sd"] is None else ""


def _cells(family: Family, row: dict[str, Any]) -> tuple[str, ...]:
    means = {name: value["mean"] for name, value in row.items() if isinstance(value, dict)}
    return (
        row["method"],
        f"{row['sparsity']:g}",
        _quality(family, row),
        _count(means["nonzeros"]),
        _count(row["stored_bytes"]),
        _count(means["csr_bytes" if row["sparsity"] else "dense_bytes"]),
        f"{row['compression_rate']:.2f}",
        f"{row['space_saving']:.1%}",
        "" if len(row["places"]) > 1 else f"{means['cpu_seconds']:.0f} s",
    )


def _quality(family: Family, row: dict[str, Any]) -> str:
    """Mean and standard deviation; the mean alone where there was one seed."""
    quality = row[family.measure]
    deviation = "" if quality["sd"] is None else f" ± {family.scale * quality['sd']:.2f}"
    return f"{family.scale * quality['mean']:.2f}{deviation}"


def _count(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"
