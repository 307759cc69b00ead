"""The book of channels: which are the same, which may not be removed, and why.

Every channel that a layer makes gets a label, a number from 1; 0 stands for what is not followed.
While a model is read, facts are only written down; `settle` joins what is the same in one pass over
all facts, in time linear in their number.
"""

import dataclasses

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Labels = np.ndarray  # of integers


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Channels that stay, and the reason.

    Attributes:
        labels: some of the channels' labels.
        reason: a clause that names the layer.
    """

    labels: Labels
    reason: str


@dataclasses.dataclass
class Ledger:
    """What is known of the channels of one model.

    Example:
        >>> ledger = Ledger()
        >>> first, second = ledger.make(2), ledger.make(2)
        >>> ledger.tie(first, second, "add")
        >>> ledger.freeze(second[:1], "'out' is returned")
        >>> settled = ledger.settle()
        >>> settled.of(first), settled.of(second)
        (array([1, 2]), array([1, 2]))
        >>> settled.reasons
        {1: "'out' is returned"}
    """

    count: int = 0
    _ties: list[tuple[Labels, Labels, bool]] = dataclasses.field(default_factory=list)
    frozen: list[Frozen] = dataclasses.field(default_factory=list)
    inexact: list[Frozen] = dataclasses.field(default_factory=list)

    def make(self, number: int) -> Labels:
        """Return labels of new channels."""
        self.count += number
        return np.arange(self.count - number + 1, self.count + 1)

    def tie(self, first: Labels, second: Labels, name: str, *, same: bool = True) -> None:
        """Write down that channels are the same, position by position.

        A channel that meets one that is not followed stays.

        Args:
            first, second: labels, of shapes that broadcast.
            name: of the layer where they meet.
            same: False for different channels of which none can go without the others.
        """
        first, second = (side.ravel() for side in np.broadcast_arrays(first, second))
        met = (first == 0) != (second == 0)
        if met.any():
            reason = f"'{name}' combines it with what cannot be removed"
            self.freeze(np.maximum(first, second)[met], reason)
        apart = (first != second) & (first > 0) & (second > 0)
        if apart.any():
            self._ties.append((first[apart], second[apart], same))

    def freeze(self, labels: Labels, reason: str) -> None:
        """Write down that channels may not be removed."""
        labels = np.unique(labels)
        labels = labels[labels > 0]
        if labels.size:
            self.frozen.append(Frozen(labels, reason))

    def blur(self, labels: Labels, reason: str) -> None:
        """Write down that removing these channels changes what is computed from the others."""
        labels = np.unique(labels)
        labels = labels[labels > 0]
        if labels.size:
            self.inexact.append(Frozen(labels, reason))

    def mark(self) -> tuple[int, int, int, int]:
        """Return where the book ends now, for `back_to`."""
        return self.count, len(self._ties), len(self.frozen), len(self.inexact)

    def written(self, mark: tuple[int, int, int, int]) -> list[Labels]:
        """Return the labels that what was written since `mark` is about."""
        ties = [labels for *tie, _ in self._ties[mark[1] :] for labels in tie]
        stay = self.frozen[mark[2] :] + self.inexact[mark[3] :]
        return ties + [entry.labels for entry in stay]

    def back_to(self, mark: tuple[int, int, int, int]) -> None:
        """Forget what was written since `mark`."""
        self.count = mark[0]
        del self._ties[mark[1] :], self.frozen[mark[2] :], self.inexact[mark[3] :]

    def settle(self, *, apart: bool = False) -> "Settled":
        """Return which channels there are, once everything is written down.

        Args:
            apart: tell different channels apart that can only go together.
        """
        number = self.count + 1
        first, second = np.zeros(0, int), np.zeros(0, int)
        ties = [tie for *tie, same in self._ties if same or not apart]
        if ties:
            first, second = (np.concatenate(side) for side in zip(*ties))
        links = coo_array((np.ones(first.size, bool), (first, second)), shape=(number, number))
        _, parts = connected_components(links, directed=False)
        # The least label of each part is its name: the part of a label is found in order.
        _, least, inverse = np.unique(parts, return_index=True, return_inverse=True)
        roots = least[inverse]
        return Settled(roots, _reasons(self.frozen, roots), _reasons(self.inexact, roots))


@dataclasses.dataclass(frozen=True)
class Settled:
    """Channels once it is known which are the same.

    Attributes:
        roots: label -> the least label of the same channel; 0 for 0.
        reasons: root -> why the channel stays.
        blurred: root -> why its removal is not exact.
    """

    roots: np.ndarray
    reasons: dict[int, str]
    blurred: dict[int, str]

    def of(self, labels: Labels) -> Labels:
        """Return the root of every label."""
        return self.roots[labels]


def _reasons(written: list[Frozen], roots: np.ndarray) -> dict[int, str]:
    """Return root -> the first reason given for any of its labels."""
    found: dict[int, str] = {}
    for entry in reversed(written):
        found.update(dict.fromkeys(roots[entry.labels].tolist(), entry.reason))
    return found
