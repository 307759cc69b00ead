"""The quickstart's results as a table on the terminal, as JSON and as an HTML page."""

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from rich.console import Console
from rich.table import Table

import quickstart_plots

HEADINGS = (
    "model",
    "accuracy",
    "nonzero weights",
    "bytes",
    "bytes, gzip",
    "latency, ms",
    "latency ratio dense/sparse",
)

PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; display: block; margin: 1.5rem 0; }
code { background: #f3f3f3; padding: .1rem .3rem; }
</style>
</head>
<body>
<h1>$title</h1>
<p><code>$command</code></p>
$table
<p>$measured</p>
$images
<h2>Predictions compared</h2>
$agreement
<h2>Run</h2>
$run
</body>
</html>
"""
)


def write(results: dict[str, Any], folder: Path) -> None:
    """Write the plots, report.html and results.json."""
    plots = quickstart_plots.write(results, folder)
    (folder / "report.html").write_text(page(results, plots), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def show(results: dict[str, Any], folder: Path) -> None:
    """Print the table and where the files are."""
    table = Table(title=title(results))
    for index, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if index else "left")
    for row in cells(results):
        table.add_row(*row)
    console = Console(width=None if Console().is_terminal else 110)
    console.print(table)
    console.print(measured(results), highlight=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def title(results: dict[str, Any]) -> str:
    sparsity = results["schedule"]["final_sparsity"]
    return f"{results['data']['name']}: dense against {100 * sparsity:.6g}% sparse"


def cells(results: dict[str, Any]) -> list[list[str]]:
    """The table's rows as text, in the order of `HEADINGS`."""
    return [
        [
            row["model"],
            f"{row['accuracy']:.2%}",
            f"{row['nonzero']:,}",
            f"{row['bytes']:,}",
            f"{row['gzip_bytes']:,}",
            f"{row['median_ms']:.4f}",
            f"{row['latency_ratio']:.2f}",
        ]
        for row in results["table"]
    ]


def measured(results: dict[str, Any]) -> str:
    """What the table's figures count, in words."""
    machine, threads = results["machine"], results["threads"]
    epochs = {name: len(log) for name, log in results["accuracy_log"].items()}
    sentences = [
        f"Accuracy: of the .tflite files in LiteRT, on {results['data']['test']:,} test images.",
        f"The dense model was trained for {epochs['dense']} epochs; the sparse one goes on from it "
        f"for {epochs['pruned']} more.",
        f"Nonzero weights: of all {results['table'][0]['weights']:,} parameters.",
        f"Latency: median for one image, {threads} thread{'s' if threads > 1 else ''}, both files "
        f"in turns, on a machine with {machine['cores']} {machine['processor']} cores.",
        *results["notes"],
        f"Seed {results['seed']}; {results['seconds']:.0f} s in all.",
    ]
    return " ".join(sentences)


def page(results: dict[str, Any], plots: Sequence[Path]) -> str:
    """The HTML page; pictures are part of it, so that the file can be passed on alone."""
    images = [
        f'<img alt="{plot.stem}" src="data:image/png;base64,'
        f'{base64.b64encode(plot.read_bytes()).decode()}">'
        for plot in plots
    ]
    differences = [[pair, f"{value:.1e}"] for pair, value in results["agreement"].items()]
    versions = [[name, version] for name, version in results["versions"].items()]
    schedule = [[name, str(value)] for name, value in results["schedule"].items()]
    return PAGE.substitute(
        title=html.escape(title(results)),
        command=html.escape(results["command"]),
        table=html_table(HEADINGS, cells(results)),
        measured=html.escape(measured(results)),
        images="\n".join(images),
        agreement=html_table(("pair", "largest difference / largest logit"), differences),
        run=html_table(("software", "version"), versions)
        + html_table(("schedule", ""), schedule),
    )


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in headings)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"
