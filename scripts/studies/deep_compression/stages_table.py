"""The table of `scripts.studies.deep_compression`."""

from typing import Any

from scripts.lab.tables import Table, percent, versions, with_deviation

_FILE_OF = {"dense": "dense file", "pruned": "pruned file", "clustered": "clustered file"}
_CODED = "microcontroller"


def stages(runs: dict[str, dict[str, Any]]) -> Table:
    """One row a stage of each network: accuracy, sizes, and what the paper has of MNIST.

    Args:
        runs: name of a network -> its results.
    """
    rows = []
    for name, run in runs.items():
        found = {row["method"]: row for row in run["rows"]}
        published = run["settings"]["published"]
        for stage in (*_FILE_OF, _CODED):
            file = found.get(_FILE_OF.get(stage, stage))
            if file is None:
                continue
            times, error = published.get({_CODED: "coded"}.get(stage, stage), (None, None))
            rows.append(
                [
                    name,
                    stage,
                    with_deviation(file["accuracy"]),
                    f"{file['bytes']['mean']:,.0f}",
                    f"{file['times_smaller']['mean']:.1f}",
                    f"{file['zipped_times_smaller']['mean']:.1f}",
                    "-" if times is None else f"{times:g}",
                    "-" if error is None else f"{100 - error:.2f}",
                ]
            )
    first = next(iter(runs.values()))
    settings = "; ".join(
        f"{name} {percent(found['sparsity'], 0)} % zeros, {found['levels']} values"
        for name, found in ((name, run["settings"]) for name, run in runs.items())
    )
    data, seeds = first["settings"]["data"], first["rows"][0]["seeds"]
    command = first["command"].rpartition(" ")[0]  # without the network
    about = (
        f"Accuracy of the file on {data} in per cent, mean ± standard deviation over seeds "
        f"{seeds}; sizes beside the dense float32 file, as it is and by gzip. {settings}. "
        "Published: Han, Mao & Dally, arXiv 1510.00149, on MNIST, of weights alone. "
        f"`{command} {' '.join(runs)}`; {versions(first)}."
    )
    headings = [
        "network",
        "stage",
        "accuracy",
        "bytes",
        "times smaller",
        "zipped",
        "published",
        "published accuracy",
    ]
    return headings, rows, about
