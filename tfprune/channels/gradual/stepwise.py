"""Removal step by step: the channels with the lowest scores of what is left, down to a target."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from tfprune.channels.choosing.budgets import TOLD, Budget, Choice
from tfprune.channels.choosing.selection import Candidates, Limits, lowest
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
        if not last and self._strands(choice, self._choice(gone, scores)):
            gone = progress.gone.copy()  # more at once go later
        return Progress(gone, scores, progress.updates + 1, asked, last)

    def begun(self, zero: np.ndarray) -> Progress:
        """Return where it begins: some channels may be gone already.

        Args:
            zero: by root, whether all that makes, shifts and scales the channel is zero.
        """
        gone = self.allowed(zero)
        finished = self.cost(gone) <= self.target
        return Progress(gone, np.zeros(self.size), asked=self._count(gone), finished=finished)

    def also_gone(self, progress: Progress, zero: np.ndarray) -> tuple[Progress, np.ndarray]:
        """Return progress that counts further channels as gone, which are zero, and which they are.

        Weights may have been saved after the progress.
        """
        gone = self.allowed(zero | progress.gone) | progress.gone
        more = gone & ~progress.gone
        if not more.any():
            return progress, more
        asked = max(progress.asked, self._count(gone))
        finished = progress.finished or self.cost(gone) <= self.target
        return dataclasses.replace(progress, gone=gone, asked=asked, finished=finished), more

    def resumed(self, progress: Progress) -> Progress:
        """Return how far it is for this budget, where it may have been for another one."""
        near = progress.finished and not self.misses(progress.gone)
        return dataclasses.replace(
            progress, finished=near or self.cost(progress.gone) <= self.target
        )

    def allowed(self, zero: np.ndarray) -> np.ndarray:
        """Return by root which of some channels may be gone.

        No update takes all channels of a layer: where all are zero, it is one that is to be trained
        from there, as with `kernel_initializer="zeros"`. Of others, as many as the limits allow.
        """
        gone = np.zeros(self.size, bool)
        for group in self.groups:
            own = zero[group.channels]
            whole = [np.isin(group.channels, part) for part in (group.channels, *group.parts)]
            for inside in [inside for inside in whole if own[inside].all()]:
                own = own & ~inside
            scores = np.where(own, 0.0, 1.0)
            may_go = own & group.may_go(scores, self.limits.min_kept)
            candidates = Candidates(scores, may_go, group.unit)
            kept = own.size - np.count_nonzero(may_go)
            kept = min(count for count in self.limits.widths(candidates) if count >= kept)
            gone[group.channels[lowest(candidates, kept)]] = True
        return gone

    @property
    def removable(self) -> np.ndarray:
        """By root, whether the channel may go."""
        found = np.zeros(self.size, bool)
        for group in self.groups:
            found[group.channels[group.removable]] = True
        return found

    @property
    def target(self) -> float:
        """The cost that is left at the end."""
        return self.budget.left * self.cost(np.zeros(self.size, bool))

    def cost(self, gone: np.ndarray) -> float:
        """Return what is left where these channels are gone."""
        choice = self._choice(gone, np.zeros(self.size))
        return self.budget.cost(choice, choice.whole)

    def misses(self, gone: np.ndarray) -> bool:
        """Return whether what is left is too far from the target, or nothing went for it."""
        return not (gone.any() and self._is_near(self.cost(gone)))

    def state(self, progress: Progress) -> str:
        """Return what was asked and what is left, in words."""
        whole = self.cost(np.zeros(self.size, bool))
        names = {"sparsity": "removable channels", "macs": "multiply-adds"}
        return (
            f"asked {self.budget.text}, {self.cost(progress.gone) / whole:.1%} of the "
            f"{names.get(self.budget.of, self.budget.of)} are left after {progress.updates} "
            f"update{'s' * (progress.updates != 1)} of {self.per_update} each."
        )

    def require_reachable(self) -> None:
        """Raise ValueError if the target cannot be reached, or is reached by removing nothing."""
        choice = self._choice(np.zeros(self.size, bool), np.zeros(self.size))
        whole = self.budget.cost(choice, choice.whole)
        least = self.budget.cost(choice, choice.widths(choice.most))
        target = self.target
        nothing = (
            "The budget must have at least one channel go. Received: "
            f"{self.budget.text}, which leaves every channel of '{self.model}'."
        )
        if target >= whole > 0:
            raise ValueError(nothing)
        if least > target + self.budget.slack(self.groups, target) or choice.most == 0:
            share = 1 - least / whole if whole else 0.0
            why = f": {'; '.join(choice.reasons[:TOLD])}" if choice.reasons else ""
            raise ValueError(
                f"The budget must be within what can go. Received: {self.budget.text} for "
                f"'{self.model}', of which at most {share:.1%} can go{why}."
            )
        if not any(self._meets(trial, something=True) for trial in self._trials(choice)):
            self.budget.meet(choice)  # which says how near it can get
            raise ValueError(nothing)

    def _trials(self, choice: Choice) -> Iterator[Choice]:
        """Yield choices by scores that there may be: none is known before training."""
        yield dataclasses.replace(choice, together=False)
        for group in self.groups:
            scores = np.ones(self.size)
            scores[group.channels] = 0.0
            yield self._choice(np.zeros(self.size, bool), scores)

    def _meets(self, choice: Choice, *, something: bool = False) -> bool:
        """Return whether the target can be met, with something that goes for it or not."""
        widths = self.budget.nearest(choice, self.target)
        goes = not something or any(gone.any() for gone in choice.removed(widths))
        return goes and self._is_near(self.budget.cost(choice, widths))

    def _strands(self, before: Choice, after: Choice) -> bool:
        """Return whether a step leads to where the target is out of reach, as rounding may."""
        return not self._meets(after) and self._meets(before)

    def _is_near(self, cost: float) -> bool:
        return abs(cost - self.target) <= self.budget.slack(self.groups, self.target)

    def _choice(self, gone: np.ndarray, scores: np.ndarray) -> Choice:
        """Return what there is left to choose from."""
        groups = []
        for group in self.groups:
            left = ~gone[group.channels]
            groups.append(group.only(left))
        candidates = []
        for group in groups:
            own = scores[group.channels]
            may_go = group.may_go(own, self.limits.min_kept)
            candidates.append(Candidates(own, may_go, group.unit))
        return Choice(
            self.model, groups, candidates, self.limits, self.costs, gone=np.flatnonzero(gone)
        )

    def _count(self, gone: np.ndarray) -> int:
        return sum(int(np.count_nonzero(gone[group.channels])) for group in self.groups)
