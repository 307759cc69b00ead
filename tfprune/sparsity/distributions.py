"""Distributions: one target sparsity -> a sparsity for every weight.

A distribution is a function of the group scores, the shapes and the target; it returns fractions
that `make_masks` turns into exact counts. Weights that a rule pins to a schedule of their own do
not take part: the target holds over the others.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tfprune.sparsity.masks import kept_count
from tfprune.sparsity.selection import Scores, keep_largest
from tfprune.sparsity.structures import NofM, Structure
from tfprune.support.validation import require_one_of

Distribution = Callable[[dict[str, Scores], float, dict[str, Structure]], dict[str, float]]


def uniform(
    scores: dict[str, Scores], sparsity: float, structures: dict[str, Structure]
) -> dict[str, float]:
    """Return the target itself for every weight.

    Args:
        scores: name -> array of any shape, larger = keep.
        sparsity: target, fraction in [0, 1).
        structures: name -> structure.

    Returns:
        name -> sparsity.

    Example:
        >>> uniform({"w": np.ones(4)}, 0.5, {})
        {'w': 0.5}
    """
    return {name: sparsity for name in scores}


def erk(
    scores: dict[str, Scores], sparsity: float, structures: dict[str, Structure]
) -> dict[str, float]:
    """Return Erdos-Renyi-Kernel sparsities: small weights stay denser than large ones.

    density_l = e * sum(shape_l) / prod(shape_l), with e such that the total count is the target's
    and densities above 1 are cut to 1 (their surplus goes to the other weights).

    Args:
        scores: name -> array of any shape; only shapes are used.
        sparsity: target over all these weights together, fraction in [0, 1).
        structures: name -> structure; not used.

    Returns:
        name -> sparsity.

    Source: Evci et al., "Rigging the Lottery: Making All Tickets Winners", ICML 2020
    (arXiv 1911.11134), section 3.

    Example:
        >>> wanted = erk({"small": np.ones((4, 4)), "large": np.ones((40, 40))}, 0.8, {})
        >>> wanted["small"] < wanted["large"]
        True
    """
    dense: set[str] = set()
    kept = (1.0 - sparsity) * sum(values.size for values in scores.values())
    while True:
        rest = {name: values for name, values in scores.items() if name not in dense}
        budget = kept - sum(scores[name].size for name in dense)
        scale = budget / sum(sum(values.shape) for values in rest.values()) if rest else 0.0
        density = {name: scale * sum(v.shape) / v.size for name, v in rest.items()}
        overfull = {name for name, value in density.items() if value > 1.0}
        if not overfull:
            return {name: 1.0 - density.get(name, 1.0) for name in scores}
        dense |= overfull


def global_(
    scores: dict[str, Scores], sparsity: float, structures: dict[str, Structure]
) -> dict[str, float]:
    """Return the sparsities that one threshold over all weights together gives.

    Groups of all weights are ranked in one list and the highest kept, so scores must be comparable
    between layers. The best group of every weight is kept, so that no layer is cut off.

    Args:
        scores: name -> array of any shape, larger = keep.
        sparsity: target over all these weights together, fraction in [0, 1).
        structures: name -> structure; `NofM` fixes a sparsity per weight and is refused.

    Returns:
        name -> sparsity.

    Raises:
        ValueError: for an `NofM` structure.

    Example:
        >>> from tfprune.sparsity.structures import Unstructured
        >>> scores = {"a": np.ones(4), "b": 9 * np.ones(4)}
        >>> global_(scores, 0.5, dict.fromkeys("ab", Unstructured()))
        {'a': 0.75, 'b': 0.25}
    """
    groups: dict[str, np.ndarray] = {}
    for name, values in scores.items():
        structure = structures[name]
        if isinstance(structure, NofM):
            raise _fixed_sparsity(structure, f" for '{name}'")
        groups[name] = np.asarray(structure.group_scores(values)).reshape(-1)
    elements = {name: scores[name].size / group.size for name, group in groups.items()}
    pooled = np.concatenate([group.astype(np.float32, copy=False) for group in groups.values()])
    if np.isnan(pooled.max()):
        named = next(name for name, group in groups.items() if np.isnan(group).any())
        raise ValueError(f"Scores must not be NaN. Received: NaN in '{named}'.")
    starts = np.cumsum([0, *(group.size for group in groups.values())])
    best = starts[:-1] + [int(np.argmax(group)) for group in groups.values()]
    pooled[best] = np.inf
    if len(set(elements.values())) == 1:
        mask = keep_largest(pooled, max(len(groups), kept_count(pooled.size, sparsity)))
    else:
        mask = _keep_by_elements(pooled, np.repeat([*elements.values()], np.diff(starts)), sparsity)
    return {
        name: 1.0 - int(np.count_nonzero(mask[start:stop])) / int(stop - start)
        for name, start, stop in zip(groups, starts[:-1], starts[1:])
    }


def _fixed_sparsity(structure: NofM, where: str = "") -> ValueError:
    return ValueError(
        "`distribution='global'` cannot be combined with an N:M structure, which removes the same "
        f"share of every weight. Received: {structure}{where}."
    )


def _keep_by_elements(pooled: np.ndarray, elements: np.ndarray, sparsity: float) -> np.ndarray:
    """Keep groups of unequal size, highest first, as many as come nearest to the element count."""
    order = np.argsort(-pooled, kind="stable")
    total = np.cumsum(elements[order])
    groups = int(np.argmin(np.abs(total - (1.0 - sparsity) * total[-1]))) + 1
    mask = np.zeros(pooled.size, bool)
    mask[order[: max(groups, int(np.isinf(pooled).sum()))]] = True
    return mask


_REGISTRY: dict[str, Distribution] = {"uniform": uniform, "erk": erk, "global": global_}


def names() -> list[str]:
    """Return the names that `get` knows.

    Example:
        >>> names()
        ['uniform', 'erk', 'global']
    """
    return list(_REGISTRY)


def get(distribution: Any) -> Distribution:
    """Return the distribution of that name, or the function itself.

    Args:
        distribution: "uniform", "erk", "global", or a function of this module's signature.

    Raises:
        ValueError: for an unknown name; TypeError for anything else.

    Example:
        >>> get("erk") is erk
        True
    """
    if isinstance(distribution, str):
        return _REGISTRY[require_one_of("distribution", distribution, names())]
    if callable(distribution):
        return distribution
    raise TypeError(
        "`distribution` must be a name or a function. "
        f"Received: distribution={distribution!r} (of type {type(distribution).__name__})."
    )


def choose(distribution: Any, preferred: Any, *structures: Any) -> Any:
    """Return the distribution to use, once it is known to go with the structures.

    Args:
        distribution: as the user gave it; None is `preferred`, or "uniform" for an N:M structure.
        preferred: what the scorer was made for.
        *structures: which weights are removed together, in each weight.

    Raises:
        ValueError: for an unknown name, or "global" with an N:M structure; TypeError for anything
            that is no distribution.

    Example:
        >>> choose(None, "global", NofM(2, 4)), choose("erk", "global", NofM(2, 4))
        ('uniform', 'erk')
    """
    pattern = next((item for item in structures if isinstance(item, NofM)), None)
    if distribution is None:
        return "uniform" if pattern else preferred
    if get(distribution) is global_ and pattern:
        raise _fixed_sparsity(pattern)
    return distribution
