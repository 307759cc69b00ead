"""Frozen weights that are less sparse than asked: they are named, with numbers."""

import warnings
from collections.abc import Sequence

from tfprune.support.arrays import host_array
from tfprune.wrapping.cohorts import Cohort


def warn_frozen(missed: Sequence[tuple[Cohort, int]], remedy: str, stacklevel: int) -> bool:
    """Warn once of all frozen weights that an update left less sparse than it asked for.

    Args:
        missed: pairs of a cohort and the step of its schedule at which it was updated last.
        remedy: what to do, for the end of the message.
        stacklevel: of the warning, from here.

    Returns:
        Whether there are any.
    """
    found = []
    for cohort, step in missed:
        asked = cohort.schedule(step)
        for name, weight in cohort.weights.items():
            mask = host_array(cohort.masks[name][0].value)
            if not weight.trainable and 1.0 - mask.mean() < asked - 1.0 / mask.size:
                found.append(f"'{name}' (asked {asked:.3g}, has {1.0 - mask.mean():.3g})")
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        warnings.warn(
            f"Frozen layers keep their masks: {', '.join(found[:3])}{more}. {remedy}",
            stacklevel=stacklevel,
        )
    return bool(found)
