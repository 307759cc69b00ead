"""The ways of `scripts.studies.clustering` to choose values, and the table of what they keep."""

from typing import Any

from scripts.lab.tables import Table, percent, versions, with_deviation

DENSE = "dense"
STARTS = {
    "exact": "k-means, the best there is",
    "fisher": "the same, weighted by Fisher information",
    "linear": "k-means from even steps",
    "density": "k-means from even shares",
    "kmeans++": "k-means++",
}
LEVELS, PER = (4, 8, 16), ("channel", "weight")


def values(run: dict[str, Any]) -> Table:
    """One row a way to choose values, one column a number of them."""
    found = {row["method"]: row["accuracy"] for row in run["rows"]}
    rows = [
        [
            f"{label}, of each channel" if per == "channel" else f"{label}, of the kernel",
            *(_cell(found.get(f"{start}, {levels} a {per}")) for levels in LEVELS),
        ]
        for per in PER
        for start, label in STARTS.items()
    ]
    about = (
        f"Accuracy of ResNet-20 on the test images of CIFAR-10, {percent(found[DENSE]['mean'])} "
        "before; at once, without training, batch normalizations folded. Mean ± standard "
        f"deviation over seeds where chance plays a part. `{run['command']}`; {versions(run)}."
    )
    return ["values", *(f"{levels} of them" for levels in LEVELS)], rows, about


def _cell(accuracy: dict[str, Any] | None) -> str:
    return "-" if accuracy is None else with_deviation(accuracy)
