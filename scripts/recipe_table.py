"""The table of `recipe_variants.py`: what each change of a family's recipe does to the quality."""

from typing import Any

from comparison_families import Family
from experiment_tables import Table, environment

_LABELS = {
    "cpu-fast": "twice the learning rate",
    "cpu-uniform": "every layer at the same sparsity",
    "cpu-classifier": "classifier left dense",
    "cpu-softmax": "softmax projection left dense",
    "cpu-embedding": "embeddings left dense",
}


def readme(family: Family, run: dict[str, Any]) -> Table:
    """Return headings, rows and a line about the run, for the README."""
    options = {record["method"]: record["options"] for record in run["records"]}
    rows = []
    for row in run["rows"]:
        quality, method = row[family.measure], row["method"]
        shown = f"{family.scale * quality['mean']:.2f}"
        if quality["sd"] is not None:
            shown += f" ± {family.scale * quality['sd']:.2f}"
        rows.append([_label(method, options[method]), shown, f"{row['nonzeros']['mean']:,.0f}"])
    sparsity = run["rows"][0]["sparsity"]
    about = (
        f"The largest model at {100 * sparsity:g} % in the layers that are pruned; the first row "
        f"is the recipe of the comparison. `{run['command']}`; {environment(run)}."
    )
    return ["recipe", family.label, "nonzeros"], rows, about


def _label(method: str, options: dict[str, Any]) -> str:
    rise = f"sparsity rises between {100 * options['begin']:g} and {100 * options['end']:g} %"
    return _LABELS.get(method, f"{rise} of the training")
