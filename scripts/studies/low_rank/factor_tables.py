"""Tables of the study of factors, one a network."""

from typing import Any

from scripts.lab.tables import Table, machines, percent, versions

Run = dict[str, Any]

_METHODS = {"spatial": "spatial SVD", "channel": "channel SVD", "tucker": "Tucker-2", "svd": "SVD"}
_WAYS = {
    "weights": "for the weights",
    "data": "for the outputs on data",
    "trained": "for the outputs, trained on",
    "taught": "for the outputs, trained on with the original as teacher",
}
_WHOLE = {"dense": "none", "dense-longer": "none, trained on"}


def residual(run: Run) -> Table:
    """ResNet-20 with trained weights: what is lost at once, one row a method."""
    found = _by_method(run)
    headings = ["factors by", "multiply-adds left", "parameters left", "at once, for the weights"]
    headings += ["for the outputs on data", "statistics refreshed, weights", "outputs"]
    dense = percent(found["dense"]["accuracy"])
    rows = [["none", "", f"{found['dense']['parameters']:,}", dense, "", "", ""]]
    for kind in _METHODS:
        plain, seen = (found.get(f"{kind}-{way}") for way in ("weights", "data"))
        if plain and seen:
            accuracies = [
                percent(record[measure])
                for measure in ("accuracy_at_once", "accuracy_refreshed")
                for record in (plain, seen)
            ]
            sizes = [f"{seen['macs']:,}", f"{seen['parameters']:,}"]
            rows.append([_METHODS[kind], *sizes, *accuracies])
    about = (
        "ResNet-20 with trained weights on CIFAR-10, accuracy in per cent on 10,000 test images, "
        f"without training; outputs on 1,000 training images, cropped and mirrored. {_made(run)}"
    )
    return headings, rows, about


def images(run: Run) -> Table:
    """The small AlexNet: at once, trained on, and in LiteRT."""
    headings = ["factors", "multiply-adds left", "parameters", "at once", "trained on"]
    headings += ["ms an image", "times faster"]
    rows = []
    for record in run["records"]:
        once, after = record.get("accuracy_at_once"), record.get("accuracy")
        if once is None and record["method"] == "dense":
            once, after = after, None
        share = (
            f"{percent(record['macs'] / record['macs_before'], 0)} %" if "macs" in record else ""
        )
        timed = [f"{record['ms']:.3f}", f"{record['speed_up']:.2f}"] if "ms" in record else ["", ""]
        shown = ["" if value is None else percent(value) for value in (once, after)]
        size = f"{record['parameters']:,}" if "parameters" in record else ""
        rows.append([_label(record), share, size, *shown, *timed])
    epochs = run["training"]["epochs"]
    more = _by_method(run)["spatial-trained"]["options"]["epochs"]
    about = (
        f"A small AlexNet (width .25, one group), {epochs} epochs of CIFAR-10 before and {more} "
        "after where it is trained on; test accuracy in per cent, one seed. LiteRT, one thread, in "
        "turns with the dense file. " + _made(run)
    )
    return headings, rows, about


def words(run: Run) -> Table:
    """The small language model: perplexities."""
    headings = ["embedding and output layer in factors", "parameters of both", "smaller"]
    headings += ["validation perplexity", "test perplexity"]
    rows = []
    for record in run["records"]:
        size = record.get("parameters", run["parameters"])
        rows.append(
            [
                _label(record),
                f"{size:,}",
                f"{run['parameters'] / size:.2f} times",
                f"{record['valid_perplexity']:.1f}",
                f"{record['perplexity']:.1f}",
            ]
        )
    more = _by_method(run)["svd-trained"]["options"]["passes"]
    about = (
        f"The small LSTM language model on Penn Treebank after {run['training']['passes']} passes, "
        f"and {more} more where it is trained on; one seed. {_made(run)}"
    )
    return headings, rows, about


def _by_method(run: Run) -> dict[str, Run]:
    return {record["method"]: record for record in run["records"]}


def _label(record: Run) -> str:
    method = record["method"]
    if method in _WHOLE:
        return _WHOLE[method]
    kind, _, way = method.partition("-")
    return f"{_METHODS[kind]} {_WAYS[way]}"


def _made(run: Run) -> str:
    return f"`{run['command']}`, on {machines(run)}; {versions(run)}."
