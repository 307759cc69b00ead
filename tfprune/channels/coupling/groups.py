"""Groups of coupled channels: what is removed together, and what competes with what.

A channel is all that goes with it: filters of several layers, entries of biases and normalizations,
the rows that read it. Channels that a layer makes side by side form a group, joined with those that
share one of them (a skip connection puts all its blocks into one).
"""

import dataclasses
import math

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tfprune.channels.coupling.book import WeightLabels
from tfprune.channels.coupling.ledger import Labels, Settled
from tfprune.channels.coupling.reading import Reading


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Channels that lie side by side.

    Attributes:
        name: of the layer that makes the most of them, the first of several.
        layers: names of all layers that make them, that one first.
        channels: their roots, rising.
        each: how many channels of the first layer that makes it each of them is: those of a grouped
            convolution go together.
        of_first: whether the first of `layers` makes each of them.
        frozen: reasons, one a channel; "" for what can be removed.
        blurred: why removal is not exact; "" where it is.
        parts: roots of the channels of each layer that makes some of them only, such as a branch
            that is joined with others.
        unit: greatest common divisor of the widths in all layers.
    """

    name: str
    layers: tuple[str, ...]
    channels: np.ndarray
    each: np.ndarray
    of_first: np.ndarray
    frozen: tuple[str, ...]
    blurred: str
    parts: tuple[np.ndarray, ...] = ()
    unit: int = 1

    @property
    def removable(self) -> np.ndarray:
        """Whether each channel can be removed."""
        return np.array([not reason for reason in self.frozen], bool)

    def only(self, those: np.ndarray) -> "Group":
        """Return the group with some of its channels, given as one bool each."""
        return dataclasses.replace(
            self,
            channels=self.channels[those],
            each=self.each[those],
            of_first=self.of_first[those],
            frozen=tuple(reason for reason, stays in zip(self.frozen, those) if stays),
        )

    def may_go(self, scores: np.ndarray, min_kept: int) -> np.ndarray:
        """Return whether each channel can be removed where every layer keeps its best ones.

        Args:
            scores: one a channel, larger = keep.
            min_kept: channels that each of the `parts` keeps at least.

        Example:
            >>> part, ones = np.array([3, 4]), np.ones(4, int)
            >>> group = Group(
            ...     "a", ("a", "b"), np.arange(1, 5), ones, ones > 0, ("",) * 4, "", (part,))
            >>> group.may_go(np.array([9.0, 8.0, 1.0, 2.0]), 1)
            array([ True,  True,  True, False])
        """
        found = self.removable
        for part in self.parts:
            own = np.flatnonzero(np.isin(self.channels, part))
            open_ones = own[found[own]]
            number = max(0, min_kept - (own.size - open_ones.size))
            found[open_ones[np.argsort(-scores[open_ones], kind="stable")[:number]]] = False
        return found


def find_groups(reading: Reading, settled: Settled) -> list[Group]:
    """Return the groups of a model's channels, in the order of its calls.

    Example:
        >>> from tfprune.channels.coupling.reading import read
        >>> import keras
        >>> inputs, a = keras.Input((3,)), keras.layers.Dense(4, name="a")
        >>> hidden = a(inputs) + keras.layers.Dense(4, name="b")(inputs)
        >>> reading = read(keras.Model(inputs, keras.layers.Dense(1, name="c")(hidden)))
        >>> [(group.layers, group.frozen[0]) for group in find_groups(
        ...     reading, reading.book.ledger.settle())]
        [(('a', 'b'), ''), (('c',), "the model returns what 'c' makes")]
    """
    makers = [lies for lies in reading.book.weights if lies.makes and lies.labels.any()]
    roots = [np.unique(settled.of(lies.labels)) for lies in makers]
    roots = [found[found > 0] for found in roots]
    part = _parts(roots, settled.roots.size)
    by_part: dict[int, list[tuple[WeightLabels, Labels]]] = {}
    for lies, found in zip(makers, roots):
        if found.size:
            by_part.setdefault(int(part[found[0]]), []).append((lies, found))
    return [_group(members, settled) for members in by_part.values()]


def _parts(roots: list[Labels], size: int) -> np.ndarray:
    """Return root -> number of its group."""
    first = np.concatenate([found[:-1] for found in roots] or [np.zeros(0, int)])
    second = np.concatenate([found[1:] for found in roots] or [np.zeros(0, int)])
    links = coo_array((np.ones(first.size, bool), (first, second)), shape=(size, size))
    return connected_components(links, directed=False)[1]


def _group(members: list[tuple[WeightLabels, Labels]], settled: Settled) -> Group:
    channels = np.unique(np.concatenate([found for _, found in members]))
    members = sorted(members, key=lambda member: -member[1].size)
    first = members[0][0]
    reasons = tuple(settled.reasons.get(root, "") for root in channels.tolist())
    widths = [_widths(lies, channels, settled) for lies, _ in members]
    each = widths[0].copy()
    for other in widths[1:]:
        each = np.where(each > 0, each, other)
    if channels.size == 1 < each[0]:
        alone = f"'{first.layer.name}' has {each[0]} channels that only go all at once"
        reasons = (reasons[0] or alone,)
    blurred = [settled.blurred[root] for root in channels.tolist() if root in settled.blurred]
    return Group(
        first.layer.name,
        tuple(dict.fromkeys(lies.layer.name for lies, _ in members)),
        channels,
        each,
        widths[0] > 0,
        reasons,
        blurred[0] if blurred else "",
        tuple(found for _, found in members if found.size < channels.size),
        math.gcd(*(count for own in widths for count in own[own > 0].tolist())),
    )


def _widths(lies: WeightLabels, channels: np.ndarray, settled: Settled) -> np.ndarray:
    """Return how many channels of its layer each of these roots is; gates side by side are one."""
    roots = settled.of(lies.labels)
    places = np.bincount(np.searchsorted(channels, roots[roots > 0]), minlength=channels.size)
    return np.where(places > 0, np.maximum(1, places // lies.gates), 0)
