"""Names of classes, in words."""

from collections.abc import Sequence

_LISTED = 5


def in_words(names: Sequence[str]) -> str:
    """Return the first names of classes with the numbers that stand for them.

    Args:
        names: in the order of their numbers.

    Example:
        >>> in_words(["cat", "dog"])
        'cat = 0, dog = 1'
    """
    listed = ", ".join(f"{name} = {number}" for number, name in enumerate(names[:_LISTED]))
    return f"{listed}{', ...' * (len(names) > _LISTED)}"
