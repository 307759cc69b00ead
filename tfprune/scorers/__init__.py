"""Scorers: weights (and evidence) -> scores, larger = keep. One paper, one file.

A scorer is a callable `(weights, evidence) -> scores` over dictionaries keyed by the path of the
weight. `evidence` answers questions about the model (`tfprune.scorers.protocol`); it is None for
scorers that need none. Options are constructor arguments, so that a scorer with options is an
object: `scorer=tfprune.scorers.Random(seed=1)`. README.md here says how to add one.
"""

from collections.abc import Callable

from tfprune.scorers.fisher import Fisher
from tfprune.scorers.grasp import Grasp
from tfprune.scorers.magnitude import Magnitude
from tfprune.scorers.movement import Movement
from tfprune.scorers.obd import OBD
from tfprune.scorers.protocol import Evidence, Scorer
from tfprune.scorers.random_scores import Random
from tfprune.scorers.reconstruction.scorer import Reconstruction
from tfprune.scorers.snip import Snip
from tfprune.scorers.synflow import SynFlow
from tfprune.scorers.taylor import Taylor
from tfprune.scorers.woodfisher.scorer import WoodFisher
from tfprune.support.validation import require_one_of

Gradients = Evidence  # its name before

_REGISTRY: dict[str, Callable[[], Scorer]] = {
    "magnitude": Magnitude,
    "random": Random,
    "taylor": Taylor,
    "obd": OBD,
    "fisher": Fisher,
    "woodfisher": WoodFisher,
    "reconstruction": Reconstruction,
    "snip": Snip,
    "grasp": Grasp,
    "synflow": SynFlow,
    "movement": Movement,
}

__all__ = [
    "Fisher",
    "Evidence",
    "Gradients",
    "Grasp",
    "Magnitude",
    "Movement",
    "OBD",
    "Random",
    "Reconstruction",
    "Scorer",
    "Snip",
    "SynFlow",
    "Taylor",
    "WoodFisher",
    "get",
    "names",
]


def names() -> list[str]:
    """Return the names that `get` knows.

    Example:
        >>> "magnitude" in names()
        True
    """
    return list(_REGISTRY)


def get(scorer: str | Scorer) -> Scorer:
    """Return the scorer of that name with its default options, or the object itself.

    Args:
        scorer: a registered name, or a callable `(weights, evidence) -> scores`.

    Returns:
        The scorer.

    Raises:
        ValueError: for an unknown name.
        TypeError: for an object that is not callable, or a class instead of an instance.

    Example:
        >>> get("magnitude")
        Magnitude()
    """
    if isinstance(scorer, str):
        return _REGISTRY[require_one_of("scorer", scorer, names())]()
    if callable(scorer) and not isinstance(scorer, type):
        return scorer
    raise TypeError(
        "`scorer` must be a name or an instance such as tfprune.scorers.Magnitude(). "
        f"Received: scorer={scorer!r} (of type {type(scorer).__name__})."
    )
