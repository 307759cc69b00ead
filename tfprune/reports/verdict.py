"""What a report on a model says first: the figures in a few lines, and what was not pruned."""

from collections.abc import Sequence

from tfprune.reports import measures
from tfprune.reports.parts import SkippedLayer, WeightReport
from tfprune.reports.totals import Totals

_NAMED = 2  # layers of one kind that a line names


def verdict_lines(
    weights: Sequence[WeightReport],
    prunable: Totals,
    parameters: Totals,
    asked: float | None,
    shortfall: str,
) -> list[tuple[str, str]]:
    """Return five lines, each a word and what there is to say about it.

    Args:
        weights: the prunable weights.
        prunable: totals over the prunable weights.
        parameters: totals over all weights.
        asked: sparsity that the schedules end at, None if the model has none.
        shortfall: what the masks lack of it, empty if nothing.
    """
    achieved = f"{prunable.sparsity:.2%} of the {prunable.size:,} prunable values are zero"
    if asked is not None:
        masked = [weight for weight in weights if weight.masked]
        zeros = sum(weight.size - weight.nonzeros for weight in masked)
        share = zeros / max(1, sum(weight.size for weight in masked))
        achieved = f"asked {asked:.2%}, achieved {share:.2%} where there is a schedule; {achieved}"
    fewer = measures.in_words(parameters.compression_rate, "fewer", "many")
    rate = parameters.bitmask_compression_rate
    return [
        ("sparsity", achieved),
        (
            "parameters",
            f"{parameters.size:,} -> {parameters.nonzeros:,} nonzero ({fewer})",
        ),
        (
            "bytes",
            f"{parameters.dense_bytes:,} dense -> {parameters.bitmask_bytes:,} as bit mask and "
            f"values ({measures.in_words(rate)})",
        ),
        ("speed-up", measures.NOT_TIMED),
        ("next", _advice(prunable, asked, shortfall)),
    ]


def remark_lines(
    weights: Sequence[WeightReport], skipped: Sequence[SkippedLayer], shortfall: str
) -> list[str]:
    """Return what stayed dense, on purpose or not, one line a reason.

    Args:
        weights: the prunable weights.
        skipped: layers with weights, but none to prune.
        shortfall: what the masks lack, empty if nothing.
    """
    lines = [f"Not as asked: {shortfall}"] if shortfall else []
    failed = _by_reason([skip for skip in skipped if skip.failed])
    lines += [f"Could not be pruned: {layers}" for layers in failed]
    if any(weight.masked for weight in weights):
        ruled = [weight.path for weight in weights if not weight.masked]
        lines += [f"Dense on purpose, by a rule: {_some(ruled)}"] if ruled else []
    elif any(weight.sparsity for weight in weights):
        full = [weight.path for weight in weights if not weight.sparsity]
        lines += [f"Without a zero: {_some(full)}"] if full else []
    small = _by_reason([skip for skip in skipped if not skip.failed])
    return lines + [f"Dense on purpose: {layers}" for layers in small]


def largest(weights: Sequence[WeightReport], count: int) -> list[WeightReport]:
    """Return the weights with the most parameters, in the model's order.

    Args:
        weights: of a report.
        count: how many at most.
    """
    ranked = sorted(range(len(weights)), key=lambda place: -weights[place].size)
    return [weights[place] for place in sorted(ranked[:count])]


def _advice(prunable: Totals, asked: float | None, shortfall: str) -> str:
    if not prunable.size:
        return "nothing can be pruned; tfprune.register_prunable makes your own layers prunable"
    if shortfall:
        return "train on until the schedule has ended, with tfprune.UpdatePruningStep()"
    if asked is not None:
        return "tfprune.strip_pruning and tfprune.export.to_tflite, or `tfprune export`"
    if prunable.nonzeros == prunable.size:
        return "tfprune.prune(model, 0.8) while training, tfprune.one_shot, or `tfprune prune`"
    return "zeros take no space in the file of tfprune.export.to_tflite or `tfprune export`"


def _by_reason(skipped: Sequence[SkippedLayer]) -> list[str]:
    layers: dict[str, list[str]] = {}
    for skip in skipped:
        layers.setdefault(skip.reason, []).append(skip.layer)
    return [f"{_some(names)}: {reason}" for reason, names in layers.items()]


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
