"""What structures share whose groups are removed whole."""

import abc

import numpy as np

from tfprune.sparsity.contract import mean_by_group
from tfprune.sparsity.selection import Scores, keep_largest, kept_count
from tfprune.support.configurable import Configurable


class WholeGroups(Configurable, abc.ABC):
    """Mixin for a structure whose groups are removed whole: only `labels` is left to write.

    Groups are ranked by the mean of their scores; the best are kept, at least one.

    Example:
        >>> import dataclasses
        >>> @dataclasses.dataclass(frozen=True)
        ... class Rows(WholeGroups):
        ...     def labels(self, shape):
        ...         return np.broadcast_to(np.arange(shape[0])[:, None], shape)
        >>> Rows().mask(np.array([[1.0, 2.0], [0.0, 4.0]]), 0.5)
        array([[False, False],
               [ True,  True]])
    """

    @abc.abstractmethod
    def labels(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the number of the group that each entry is in."""

    def largest_sparsity(self, shape: tuple[int, ...]) -> float:
        """Return 1.0: nothing but rounding limits it."""
        return 1.0

    def group_scores(self, scores: Scores) -> Scores:
        """Return one score for each group, in the order of the labels."""
        return mean_by_group(self.labels(scores.shape), np.asarray(scores))

    def expand(self, groups: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the mask of the entries from that of the groups, laid out as their scores."""
        return groups.reshape(-1)[self.labels(shape)]

    def mask(self, scores: Scores, sparsity: float) -> np.ndarray:
        """Return the mask that keeps the best groups, exactly max(1, round((1 - s) groups))."""
        groups = self.group_scores(scores)
        return self.expand(keep_largest(groups, kept_count(groups.size, sparsity)), scores.shape)
