"""Distributions: one total sparsity -> a sparsity for every weight.

A distribution is a function of the group scores, the shapes and the total; it returns fractions
that `make_masks` turns into exact counts. Weights that a rule pins to a schedule of their own do
not take part: the total holds over the others.
"""

from collections.abc import Callable, Sequence
from typing import Literal, TypeGuard

import numpy as np

from tfprune.sparsity.contract import Structure, pattern_sparsity, pooled_scores
from tfprune.sparsity.selection import Scores, count_largest, kept_count
from tfprune.support.array_arguments import require_arrays
from tfprune.support.validation import require_mapping, require_one_of, require_sparsity

__all__ = ["Distribution", "erk", "get", "global_", "names", "uniform"]

DistributionName = Literal["uniform", "erk", "global"]

Distribution = Callable[[dict[str, Scores], float, dict[str, Structure]], dict[str, float]]


def uniform(
    scores: dict[str, Scores], sparsity: float, structures: dict[str, Structure]
) -> dict[str, float]:
    """Return the total itself for every weight.

    Args:
        scores: name -> array of any shape, larger = keep.
        sparsity: total, fraction in [0, 1).
        structures: name -> structure.

    Returns:
        name -> sparsity.

    Example:
        >>> uniform({"w": np.ones(4)}, 0.5, {})
        {'w': 0.5}
    """
    _require_problem(scores, sparsity, structures)
    return {name: sparsity for name in scores}


def erk(
    scores: dict[str, Scores], sparsity: float, structures: dict[str, Structure]
) -> dict[str, float]:
    """Return Erdos-Renyi-Kernel sparsities: small weights stay denser than large ones.

    density_l = e * sum(shape_l) / prod(shape_l), with e such that all together have the total, and
    densities above 1 are cut to 1 (their surplus goes to the other weights).

    Args:
        scores: name -> array of any shape; only shapes are used.
        sparsity: total over all these weights together, fraction in [0, 1).
        structures: name -> structure; no weight gets more than its `largest_sparsity`, and the
            others make up for it. A weight without one has no limit.

    Returns:
        name -> sparsity.

    Raises:
        ValueError: if all weights at their largest sparsities are not sparse enough together.

    Source: Evci et al., "Rigging the Lottery: Making All Tickets Winners", ICML 2020
    (arXiv 1911.11134), section 3. The largest sparsities are ours.

    Example:
        >>> wanted = erk({"small": np.ones((4, 4)), "large": np.ones((40, 40))}, 0.8, {})
        >>> wanted["small"] < wanted["large"]
        True
    """
    _require_problem(scores, sparsity, structures)
    names = list(scores)
    sizes = np.array([scores[name].size for name in names], float)
    raw = np.array([sum(scores[name].shape) for name in names]) / sizes
    least = np.array([_least_density(name, scores[name].shape, structures) for name in names])
    budget = (1.0 - sparsity) * sizes.sum()
    require_total(sparsity, list(zip(names, sizes.tolist(), least.tolist())))
    # The kept weights as a function of e rise along straight lines between these values of e, at
    # which a density leaves its least or reaches 1.
    turns = np.unique(np.append(least / raw, 1.0 / raw))
    kept = np.array([float(sizes @ np.clip(turn * raw, least, 1.0)) for turn in turns])
    density = np.clip(np.interp(budget, kept, turns) * raw, least, 1.0)
    return {name: 1.0 - float(value) for name, value in zip(names, density)}


def require_total(sparsity: float, weights: Sequence[tuple[str, float, float]]) -> None:
    """Raise ValueError if the weights cannot be removed to this sparsity over all of them.

    Args:
        sparsity: fraction in [0, 1).
        weights: (name, size, least density) of each; the last is 1 - largest sparsity.

    Example:
        >>> require_total(0.5, [("a", 60, 0.8), ("b", 40, 0.5)])
        Traceback (most recent call last):
        ValueError: `sparsity` must be <= 0.32, what the structure can remove over 2 weights ...
    """
    size = sum(size for _, size, _ in weights)
    most = 1.0 - sum(size * least for _, size, least in weights) / size
    if sparsity > most + 1e-9:
        densest = sorted(weights, key=lambda weight: -weight[2])[:4]
        listed = ", ".join(f"'{name}' at most {1.0 - least:.4g}" for name, _, least in densest)
        raise ValueError(
            f"`sparsity` must be <= {most:.4g}, what the structure can remove over {len(weights)} "
            f"weights together. Received: sparsity={sparsity:.6g}; {listed}."
        )


def _require_problem(scores: object, sparsity: object, structures: object) -> None:
    require_arrays("scores", scores)
    require_sparsity("sparsity", sparsity)
    require_mapping("structures", structures)


def _least_density(name: str, shape: tuple[int, ...], structures: dict[str, Structure]) -> float:
    return 1.0 - structures[name].largest_sparsity(shape) if name in structures else 0.0


def global_(
    scores: dict[str, Scores], sparsity: float, structures: dict[str, Structure]
) -> dict[str, float]:
    """Return the sparsities that one threshold over all weights together gives.

    Groups of all weights are ranked in one list and the highest kept, so scores must be comparable
    between layers. The best group of every weight is kept, so that no layer is cut off.

    Args:
        scores: name -> array of any shape, larger = keep.
        sparsity: total over all these weights together, fraction in [0, 1).
        structures: name -> structure; a pattern such as `NofM` fixes a sparsity per weight and is
            refused.

    Returns:
        name -> sparsity.

    Raises:
        ValueError: for a pattern, or a score that is NaN.

    Example:
        >>> from tfprune.sparsity.structures import Unstructured
        >>> scores = {"a": np.ones(4), "b": 9 * np.ones(4)}
        >>> global_(scores, 0.5, dict.fromkeys("ab", Unstructured()))
        {'a': 0.75, 'b': 0.25}
    """
    _require_problem(scores, sparsity, structures)
    groups: list[Scores] = []
    for name, values in scores.items():
        if pattern_sparsity(structures[name]) is not None:
            raise _fixed_sparsity(structures[name], f" for '{name}'")
        groups.append(pooled_scores(structures[name], values))
    elements = [values.size / group.size for values, group in zip(scores.values(), groups)]
    try:
        if len(set(elements)) == 1:
            total = sum(group.size for group in groups)
            counts = count_largest(groups, max(len(groups), kept_count(total, sparsity)))
        else:
            counts = _count_by_elements(groups, elements, sparsity)
    except FloatingPointError as error:
        named = next(n for n, group in zip(scores, groups) if np.isnan(np.asarray(group)).any())
        raise ValueError(f"Scores must not be NaN. Received: NaN in '{named}'.") from error
    return {name: 1.0 - count / group.size for name, count, group in zip(scores, counts, groups)}


def _fixed_sparsity(structure: Structure, where: str = "") -> ValueError:
    return ValueError(
        "`distribution='global'` cannot be combined with an N:M structure, which removes the same "
        f"share of every weight. Received: {structure}{where}."
    )


def _count_by_elements(groups: list[Scores], elements: list[float], sparsity: float) -> list[int]:
    """Keep groups of unequal size, highest first, as many as come nearest to the element count."""
    flat = [np.asarray(group).reshape(-1).astype(np.float32) for group in groups]
    for group in flat:
        if np.isnan(group.max()):
            raise FloatingPointError("a score is NaN")
        group[int(np.argmax(group))] = np.inf  # kept in any case
    sizes = [group.size for group in flat]
    order = np.argsort(-np.concatenate(flat), kind="stable")
    total = np.cumsum(np.repeat(elements, sizes)[order])
    kept = int(np.argmin(np.abs(total - (1.0 - sparsity) * total[-1]))) + 1
    of_part = np.repeat(np.arange(len(flat)), sizes)[order[: max(kept, len(flat))]]
    return np.bincount(of_part, minlength=len(flat)).tolist()


_REGISTRY: dict[str, Distribution] = {"uniform": uniform, "erk": erk, "global": global_}


def names() -> list[str]:
    """Return the names that `get` knows.

    Example:
        >>> names()
        ['uniform', 'erk', 'global']
    """
    return list(_REGISTRY)


def get(distribution: str | Distribution) -> Distribution:
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
    if callable(distribution) and not isinstance(distribution, type):
        return distribution
    raise TypeError(
        "`distribution` must be a name or a function. "
        f"Received: distribution={distribution!r} (of type {type(distribution).__name__})."
    )


def choose(
    distribution: str | Distribution | None, preferred: str | Distribution, *structures: object
) -> str | Distribution:
    """Return the distribution to use, once it is known to go with the structures.

    Args:
        distribution: as the user gave it; None is `preferred`, or "uniform" for an N:M structure.
        preferred: what the scorer was made for.
        *structures: which weights are removed together, in each weight; None and what chooses
            structures are passed over.

    Raises:
        ValueError: for an unknown name, or "global" with an N:M structure; TypeError for anything
            that is no distribution.

    Example:
        >>> from tfprune.sparsity.structures import NofM
        >>> choose(None, "global", NofM(2, 4)), choose("erk", "global", NofM(2, 4))
        ('uniform', 'erk')
    """
    pattern = next((item for item in structures if _is_pattern(item)), None)
    if distribution is None:
        return "uniform" if pattern else preferred
    if get(distribution) is global_ and pattern:
        raise _fixed_sparsity(pattern)
    return distribution


def _is_pattern(structure: object) -> TypeGuard[Structure]:
    return isinstance(structure, Structure) and pattern_sparsity(structure) is not None
