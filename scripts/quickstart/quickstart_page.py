"""The quickstart's page, in the style of all reports; it can be passed on alone."""

from typing import Any

from scripts.quickstart import wording
from tfprune.reports.pages import drawings, page_style


def page(results: dict[str, Any]) -> str:
    """The page as text: cards, tables, training, what became of each layer, and the run."""
    differences = [[pair, f"{value:.1e}"] for pair, value in results["agreement"].items()]
    versions = [[name, version] for name, version in results["versions"].items()]
    schedule = [[name, str(value)] for name, value in results["schedule"].items()]
    table = page_style.html_table
    return page_style.document(
        wording.title(results),
        [
            page_style.note(results["command"]),
            page_style.cards(_cards(results)),
            "<h2>Both models</h2>",
            table(wording.HEADINGS, wording.cells(results)),
            table(wording.COMPARED_HEADINGS, wording.compared_cells(results)),
            page_style.note(wording.measured(results)),
            "<h2>Training</h2>",
            page_style.tiles(_charts(results)),
            "<h2>What each layer keeps, and how it runs</h2>",
            table(("weight", "shape", "nonzeros", "of", "sparsity", "kept"), _layers(results)),
            page_style.note("In the sparse file, a click on a heading sorts by it:"),
            table(
                ("layer", "shape", "sparsity", "multiply-adds", "kernel", "why not sparse"),
                _kernels(results),
                sortable=True,
                end=True,
            ),
            "<h2>Predictions compared</h2>",
            table(("pair", "largest difference / largest logit"), differences),
            "<h2>Run</h2>",
            table(("software", "version"), versions),
            table(("schedule", ""), schedule),
        ],
    )


def _cards(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    dense, sparse = results["table"]
    figures = (
        ("nonzero weights left", "nonzero", "{:,}"),
        ("bytes left", "bytes", "{:,}"),
        ("bytes left after gzip", "gzip_bytes", "{:,}"),
        ("latency left, ms", "median_ms", "{:.4f}"),
    )
    gain = 100 * (sparse["accuracy"] - dense["accuracy"])
    accuracies = f"{dense['accuracy']:.2%} \u2192 {sparse['accuracy']:.2%}"
    return [("accuracy, points", f"{gain:+.2f}", accuracies)] + [
        (
            name,
            f"{sparse[key] / dense[key]:.0%}",
            f"{shown.format(dense[key])} \u2192 {shown.format(sparse[key])}",
        )
        for name, key, shown in figures
    ]


def _charts(results: dict[str, Any]) -> list[str]:
    log, epochs = results["sparsity_log"], results["accuracy_log"]
    steps = {
        name: [(point["step"], point[name]) for point in log] for name in ("scheduled", "achieved")
    }
    dense = list(enumerate(epochs["dense"], start=1))
    pruned = [dense[-1], *enumerate(epochs["pruned"], start=len(dense) + 1)]
    against = {
        what: {row["model"]: [(row[key], row["accuracy"])] for row in results["table"]}
        for what, key in (("bytes of the file", "bytes"), ("latency, ms", "median_ms"))
    }
    charts = [
        ("sparsity during the pruning", drawings.line_chart(steps, below="step", percent=True)),
        (
            "test accuracy after each epoch",
            drawings.line_chart({"dense": dense, "pruned": pruned}, below="epoch", percent=True),
        ),
        *(
            (
                f"accuracy against {what}",
                drawings.line_chart(points, below=what, percent=True, dots=True),
            )
            for what, points in against.items()
        ),
    ]
    return [page_style.figure(drawn, caption) for caption, drawn in charts]


def _layers(results: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            layer["weight"],
            " \u00d7 ".join(map(str, layer["shape"])),
            f"{layer['nonzero']:,}",
            f"{layer['size']:,}",
            f"{1 - layer['nonzero'] / layer['size']:.2%}",
            page_style.bar(layer["nonzero"] / layer["size"]),
        )
        for layer in results["layers"]
    ]


def _kernels(results: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            layer["name"],
            " \u00d7 ".join(map(str, layer["shape"])),
            f"{layer['sparsity']:.2%}",
            f"{layer['multiply_adds']:,}",
            layer["kernel"],
            layer["blocker"],
        )
        for layer in results["kernels"]
    ]
