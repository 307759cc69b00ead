"""The table of `scripts.bench.coverage`: what of ordinary networks runs sparsely, and what not."""

import collections
from typing import Any

from scripts.lab.tables import Table, versions

_COLUMNS = {"auto": "arm64", "wasm": "WebAssembly", "x86": "x86", "x86_int8": "x86, int8"}
_LARGEST_DIFFERENCE = 1e-4  # of files in float32, as a fraction of an output's scale
_REASONS = 6

Files = dict[str, dict[str, Any]]


def coverage(run: dict[str, Any]) -> Table:
    """One row a network: layers and multiply-adds on sparse kernels, before and after."""
    stages = _stages(run)
    rows = [
        [label, *_cells(stages["before"].get(name), stages["after"].get(name))]
        for name, label in run["labels"].items()
        if name in stages["before"] or name in stages["after"]
    ]
    headings = ["network", *_COLUMNS.values(), "WebAssembly, dense / this"]
    return headings, rows, _about(run, stages)


def reasons(run: dict[str, Any]) -> Table:
    """What keeps layers off sparse kernels, most frequent first."""
    rows = []
    for column, title in _COLUMNS.items():
        found: collections.Counter[str] = collections.Counter()
        networks: collections.Counter[str] = collections.Counter()
        for files in _stages(run)["after"].values():
            found.update(files[column]["reasons"])
            networks.update(files[column]["reasons"].keys())
        rows += [
            [title, str(networks[reason]), str(count), reason]
            for reason, count in sorted(found.items(), key=lambda item: -networks[item[0]])
        ][:_REASONS]
    about = f"Up to {_REASONS} reasons a target, those of most networks first, as they are now."
    return ["target", "networks", "layers", "reason"], rows, about


def _stages(run: dict[str, Any]) -> dict[str, dict[str, Files]]:
    stages: dict[str, dict[str, Files]] = {"before": {}, "after": {}}
    for record in run["records"]:
        stage, name = record["method"].split("/")
        stages[stage][name] = record["files"]
    return stages


def _cells(before: Files | None, after: Files | None) -> list[str]:
    cells = []
    for column in _COLUMNS:
        old, new = (_covered(files, column) for files in (before, after))
        cells.append(_change(old, new))
    return [*cells, _change(*(_speed(files) for files in (before, after)))]


def _change(old: str, new: str) -> str:
    return f"{old} → {new}" if old and new and old != new else new or old


def _covered(files: Files | None, column: str) -> str:
    if files is None:
        return ""
    found = files[column]
    if not found["sparse_layers"]:
        return "0"
    return f"{found['sparse_layers']} of {found['layers']}, {found['sparse_share']:.0%}"


def _speed(files: Files | None) -> str:
    if files is None:
        return ""
    return f"{files['wasm']['speed_up']:.2f}" if "speed_up" in files["wasm"] else "1"


def _about(run: dict[str, Any], stages: dict[str, dict[str, Files]]) -> str:
    counts = []
    for stage, networks in stages.items():
        if networks:
            some = {c: sum(f[c]["sparse_layers"] > 0 for f in networks.values()) for c in _COLUMNS}
            half = {c: sum(f[c]["sparse_share"] > 0.5 for f in networks.values()) for c in _COLUMNS}
            each = ", ".join(f"{_COLUMNS[c]} {some[c]} ({half[c]})" for c in _COLUMNS)
            counts.append(f"{stage} {each}")
    largest = max(
        files[column]["difference"]
        for networks in stages.values()
        for files in networks.values()
        for column in _COLUMNS
        if column != "x86_int8"
    )
    equal = "all" if largest <= _LARGEST_DIFFERENCE else "**not all**"
    return (
        "Layers on sparse kernels, and the share of the file's multiply-adds in them; where two "
        "figures stand, before and after the rewrites of stems, ends, pools and groups. Random "
        "weights, 90 % zeros as `structures_for` gives them, lowered where that is faster. "
        f"Networks with sparse kernels, and with more than half of the multiply-adds on "
        f"them: {'; '.join(counts)}. In float32 {equal} files give what the dense file does within "
        f"{_LARGEST_DIFFERENCE:g} of the outputs' scale (largest {largest:.1e}), with and without "
        "XNNPACK and in WebAssembly. "
        f"`{run['command']}`, on {run['machine']['cores']} {run['machine']['processor']} cores; "
        f"{versions(run)}."
    )
