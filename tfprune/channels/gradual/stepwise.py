"""Removal step by step: the channels with the lowest scores of what is left, down to a target."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfprune.channels.choosing.budgets import Budget, Choice
from tfprune.channels.choosing.selection import Candidates, Limits
from tfprune.channels.coupling.groups import Group
from tfprune.channels.kept import Costs


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far it has come.

    Attributes:
        gone: by root, whether the channel is gone.
        scores: by root, the running average; zeros before the first update.
        updates: how many were made.
        asked: channels that were to go until now; rounding may have kept some of them.
        finished: whether no update is left.
    """

    gone: np.ndarray
    scores: np.ndarray
    updates: int = 0
    asked: int = 0
    finished: bool = False


@dataclasses.dataclass(frozen=True)
class Stepwise:
    """What goes at each update, and when it ends.

    Attributes:
        model: name of the model.
        size: number of roots.
        groups: all groups of its channels.
        limits: what is left of every group.
        costs: of the model.
        budget: that is to be met at the end.
        per_update: channels that go at an update.
        momentum: weight of the earlier scores.
    """

    model: str
    size: int
    groups: Sequence[Group]
    limits: Limits
    costs: Costs
    budget: Budget
    per_update: int
    momentum: float

    def after(self, progress: Progress, found: np.ndarray) -> Progress:
        """Return how far it is after one more update.

        Args:
            progress: before it.
            found: by root, scores of the batches since the update before.
        """
        scores = found
        if progress.updates:
            scores = self.momentum * progress.scores + (1.0 - self.momentum) * found
        choice = self._choice(progress.gone, scores)
        asked, target = progress.asked + self.per_update, self.target
        number = min(max(0, asked - self._count(progress.gone)), choice.most)
        widths = choice.widths(number)
        last = number == choice.most or self.budget.cost(choice, widths) <= target
        if last:
            widths = self.budget.nearest(choice, target)
        gone = progress.gone.copy()
        gone[choice.roots(widths)] = True
        return Progress(gone, scores, progress.updates + 1, asked, last)

    def begun(self, gone: np.ndarray) -> Progress:
        """Return where it begins: some channels may be gone already."""
        finished = self.cost(gone) <= self.target
        return Progress(gone, np.zeros(self.size), asked=self._count(gone), finished=finished)

    @property
    def target(self) -> float:
        """The cost that is left at the end."""
        return self.budget.left * self.cost(np.zeros(self.size, bool))

    def cost(self, gone: np.ndarray) -> float:
        """Return what is left where these channels are gone."""
        choice = self._choice(gone, np.zeros(self.size))
        return self.budget.cost(choice, choice.whole)

    def require_reachable(self) -> None:
        """Raise ValueError if the target cannot be reached, or is reached by removing nothing."""
        choice = self._choice(np.zeros(self.size, bool), np.zeros(self.size))
        whole = self.budget.cost(choice, choice.whole)
        least = self.budget.cost(choice, choice.widths(choice.most))
        target = self.target
        if target >= whole > 0:
            raise ValueError(
                "The budget must have at least one channel go. Received: "
                f"{self.budget.text}, which leaves every channel of '{self.model}'."
            )
        if least > target + self.budget.slack(target) or choice.most == 0:
            share = 1 - least / whole if whole else 0.0
            raise ValueError(
                f"The budget must be within what can go. Received: {self.budget.text} for "
                f"'{self.model}', of which at most {share:.1%} can go."
            )

    def _choice(self, gone: np.ndarray, scores: np.ndarray) -> Choice:
        """Return what there is left to choose from."""
        groups = []
        for group in self.groups:
            left = ~gone[group.channels]
            frozen = tuple(reason for reason, stays in zip(group.frozen, left) if stays)
            groups.append(dataclasses.replace(group, channels=group.channels[left], frozen=frozen))
        candidates = []
        for group in groups:
            own = scores[group.channels]
            may_go = group.may_go(own, self.limits.min_kept)
            candidates.append(Candidates(own, may_go, group.width))
        return Choice(
            self.model, groups, candidates, self.limits, self.costs, gone=np.flatnonzero(gone)
        )

    def _count(self, gone: np.ndarray) -> int:
        return sum(int(np.count_nonzero(gone[group.channels])) for group in self.groups)
