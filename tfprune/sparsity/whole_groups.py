"""What structures share whose groups are removed whole."""

import abc

import numpy as np

from tfprune.sparsity.contract import mean_by_group
from tfprune.sparsity.selection import Scores, keep_largest, kept_count
from tfprune.support.array_arguments import require_array, require_groups, require_shape
from tfprune.support.configurable import Configurable
from tfprune.support.validation import require_sparsity


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
        require_shape("shape", shape)
        return 1.0

    def group_scores(self, scores: Scores) -> Scores:
        """Return one score for each group, in the order of the labels."""
        values = np.asarray(require_array("scores", scores))
        return mean_by_group(self.labels(values.shape), values)

    def expand(self, groups: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the mask of the entries from that of the groups, laid out as their scores."""
        labels = self.labels(require_shape("shape", shape))
        return require_groups("groups", groups, int(labels.max()) + 1).reshape(-1)[labels]

    def mask(self, scores: Scores, sparsity: float) -> np.ndarray:
        """Return the mask that keeps the best groups, exactly max(1, round((1 - s) groups))."""
        scores = require_array("scores", scores)
        require_sparsity("sparsity", sparsity)
        groups = self.group_scores(scores)
        return self.expand(keep_largest(groups, kept_count(groups.size, sparsity)), scores.shape)
