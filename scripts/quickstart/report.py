"""The quickstart's results as tables on the terminal, as JSON and as an HTML page."""

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.quickstart import quickstart_plots
from tfprune.reports import measures

HEADINGS = (
    "model",
    "accuracy",
    "nonzero weights",
    "bytes",
    "bytes, gzip",
    "latency, ms",
    "speed-up",
)

COMPARED_HEADINGS = (
    "counted",
    "dense",
    "sparse",
    "compression rate",
    "space saving",
)

PAGE = Template("""<!DOCTYPE html>
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
$compared
<p>$measured</p>
$images
<h2>Predictions compared</h2>
$agreement
<h2>Run</h2>
$run
</body>
</html>
""")


def write(results: dict[str, Any], folder: Path) -> None:
    """Write the plots, report.html and results.json."""
    plots = quickstart_plots.write(results, folder)
    (folder / "report.html").write_text(page(results, plots), encoding="utf-8")
    content = {**results, "measures": compared(results)}
    (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def show(results: dict[str, Any], folder: Path) -> None:
    """Print the tables and where the files are."""
    console = Console(width=None if Console().is_terminal else 110)
    console.print(terminal_table(HEADINGS, cells(results), name=title(results)))
    console.print(terminal_table(COMPARED_HEADINGS, compared_cells(results)))
    console.print(measured(results), highlight=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def terminal_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, name: str | None = None
) -> Table:
    table = Table(title=name)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    return table


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


def compared(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What the sparse model saves, one entry for each way of counting.

    "a" and "a_star" are sizes of the dense and of the sparse model.
    """
    dense, sparse = results["table"]
    sizes = (
        ("all parameters; nonzero ones", dense["weights"], sparse["nonzero"]),
        ("bytes of the .tflite file", dense["bytes"], sparse["bytes"]),
        ("bytes of the file after gzip", dense["gzip_bytes"], sparse["gzip_bytes"]),
    )
    entries: list[dict[str, Any]] = [
        {
            "counted": counted,
            "a": a,
            "a_star": a_star,
            "compression_rate": measures.compression_rate(a, a_star),
            "space_saving": measures.space_saving(a, a_star),
        }
        for counted, a, a_star in sizes
    ]
    timed = {"counted": f"latency: {latency(results)}", "speed_up": sparse["latency_ratio"]}
    return [*entries, timed]


def compared_cells(results: dict[str, Any]) -> list[list[str]]:
    """The sizes of `compared` as text, in the order of `COMPARED_HEADINGS`."""
    return [
        [
            entry["counted"],
            f"{entry['a']:,}",
            f"{entry['a_star']:,}",
            f"{entry['compression_rate']:.2f}",
            f"{entry['space_saving']:.2%}",
        ]
        for entry in compared(results)
        if "a" in entry
    ]


def latency(results: dict[str, Any]) -> str:
    """How latency and speed-up were measured, in words."""
    threads = results["threads"]
    return (
        f"one image in LiteRT on {threads} thread{'s' if threads > 1 else ''}, both files in "
        "turns; speed-up is the median over the rounds of dense over sparse latency"
    )


def measured(results: dict[str, Any]) -> str:
    """What the table's figures count, in words."""
    machine = results["machine"]
    epochs = {name: len(log) for name, log in results["accuracy_log"].items()}
    sentences = [
        f"Accuracy: of the .tflite files in LiteRT, on {results['data']['test']:,} test images.",
        f"The dense model was trained for {epochs['dense']} epochs; the sparse one goes on from it "
        f"for {epochs['pruned']} more.",
        f"Nonzero weights: of all {results['table'][0]['weights']:,} parameters.",
        f"Latency: median for {latency(results)}.",
        f"Machine: {machine['cores']} {machine['processor']} cores.",
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
        compared=html_table(COMPARED_HEADINGS, compared_cells(results)),
        measured=html.escape(measured(results)),
        images="\n".join(images),
        agreement=html_table(("pair", "largest difference / largest logit"), differences),
        run=html_table(("software", "version"), versions) + html_table(("schedule", ""), schedule),
    )


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in headings)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"
