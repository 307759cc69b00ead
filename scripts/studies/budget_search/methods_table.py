"""The networks and methods of `scripts.studies.budget_search`, and the table of what they keep."""

from typing import Any

from scripts.lab.tables import Table, spread, versions

DENSE, ALL = "dense", "all"
BITS = "bits"
METHODS: dict[str, tuple[str, ...]] = {
    ALL: ("pruning", "rank", "levels", "channels", BITS),
    "pruning": ("pruning", BITS),
    "levels": ("levels", BITS),
    "rank": ("rank", BITS),
    "channels": ("channels", BITS),
}
LABELS = {
    DENSE: "dense",
    ALL: "all together",
    "pruning": "zeros and bits",
    "levels": "few values and bits",
    "rank": "ranks and bits",
    "channels": "channels and bits",
}
NETWORKS = {
    "lenet_5": "LeNet-5, Fashion-MNIST",
    "resnet20": "ResNet-20, CIFAR-10",
    "lstm": "LSTM, PTB",
}


def together(run: dict[str, Any]) -> Table:
    """One row a network and method."""
    found = {(row["network"], row["method"]): row for row in run["rows"]}
    rows = []
    for network, label in NETWORKS.items():
        for method, name in LABELS.items():
            row = found.get((network, method))
            if row is not None:
                rows.append([label, name, *_cells(row)])
    about = (
        "Bytes are those of the file after gzip, by which the budget is met; nothing is trained "
        "after the search. Measured on test data with the file in LiteRT: accuracy, and the "
        "perplexity of sequences that begin without a state; mean ± standard deviation over seeds, "
        "which choose the examples and, for LeNet-5, train the network. "
        f"`{run['command']}`; {versions(run)}."
    )
    heading = ["network", "by", "bytes, gzip", "loss, held out", "accuracy or perplexity"]
    return heading, rows, about


def _cells(row: dict[str, Any]) -> list[str]:
    if row.get("out_of_reach"):
        return ["out of reach", "-", "-"]
    score, loss = row["score"], row["loss"]
    return [
        f"{row['gzip_bytes']['mean']:,.0f}",
        "-" if row["method"] == DENSE else spread(loss, 3),
        spread(score, 2, times=100) + "%" if score["mean"] <= 1 else spread(score, 1),
    ]
