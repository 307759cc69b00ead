"""The quickstart's results in words and as cells of tables."""

from typing import Any

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
