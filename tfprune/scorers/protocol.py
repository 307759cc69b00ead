"""What a scorer is, and what it may ask: evidence about the model, measured on examples.

A scorer is a callable `(weights, evidence) -> scores`. The other answers it can give are optional
attributes, read here in one place, so that a bare function is a scorer too:

    needs                what it asks of `evidence`, a set of "inputs", "flow" and "gradients";
                         empty by default, and `evidence` is None then
    distribution         the distribution it was made for; "uniform" by default
    accumulate(previous, scores) -> scores
                         how scores of successive mask updates combine; the new ones by default
    compensate(weights, evidence, masks) -> weights
                         new values of the kept weights; none by default
    predict(weights, evidence, pruned) -> float
                         predicted change of the loss from `weights` to `pruned`; none by default
    operations(weights, evidence) -> float
                         work beyond the passes over the examples, in additions and multiplications
                         of matrix products, to say beforehand how long it takes; unknown by
                         default
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Protocol, cast

import numpy as np

from tfprune.scorers.inputs import LayerInputs
from tfprune.sparsity.distributions import Distribution
from tfprune.sparsity.selection import Scores
from tfprune.sparsity.structures import Structure
from tfprune.support.array_arguments import require_arrays

Arrays = dict[str, np.ndarray]
ScorerName = Literal[
    "magnitude",
    "random",
    "taylor",
    "obd",
    "fisher",
    "woodfisher",
    "reconstruction",
    "snip",
    "grasp",
    "synflow",
    "movement",
]


INPUTS, FLOW, GRADIENTS = "inputs", "flow", "gradients"
NEEDS = frozenset({INPUTS, FLOW, GRADIENTS})


class Evidence(Protocol):
    """What layers see and what the loss says, over some examples, at the masked weights.

    `layer_inputs` is for scorers whose `needs` name "inputs", `synaptic_flow` for "flow", and what
    differentiates the loss for "gradients". Only the last takes targets and a loss; only the first
    works on every backend, the others on TensorFlow.

    Dictionaries are keyed by the path of the weight, as `weights` is. Gradients of masked
    coordinates are zero, but for `dense_mean`. Every method makes a pass over the examples when it
    is called (or when its iterator is advanced); nothing about the model changes.
    """

    @property
    def examples(self) -> int:
        """Number of examples, N >= 1."""

    @property
    def structures(self) -> Mapping[str, Structure]:
        """Which weights are removed together, by name."""

    @property
    def masks(self) -> Mapping[str, np.ndarray]:
        """Boolean arrays by name, True = kept."""

    def only(self, names: Sequence[str]) -> "Evidence":
        """Return the same evidence about some of the weights."""

    def mean(self) -> Arrays:
        """Return the gradient of the mean loss: name -> array of the weight's shape."""

    def dense_mean(self) -> Arrays:
        """Return the gradient of the mean loss by mask * weight, of masked entries too.

        It tells by how much the loss would change if a masked weight came back.
        """

    def batches(self, size: int) -> Iterator[Arrays]:
        """Yield gradients of micro-batches of `size` examples: name -> (k, *shape), k of them.

        Each is the gradient of the mean loss over its micro-batch; the last may be smaller.
        """

    def per_example(self) -> Arrays:
        """Return the gradient of each example's loss: name -> (N, *shape).

        Beyond the memory budget the arrays are memory maps of temporary files.
        """

    def hessian_diagonal(self, probes: int | None = None) -> Arrays:
        """Return the diagonal of the Hessian of the mean loss: name -> array of the weight's shape.

        Exact with one Hessian-vector product a weight where `probes` is None, else Hutchinson's
        estimate, the mean of v * Hv over `probes` random vectors v of +-1.
        """

    def hessian_vector_product(self, vectors: Arrays) -> Arrays:
        """Return H v of the mean loss, H over all weights together; name -> the weight's shape."""

    def synaptic_flow(self) -> Arrays:
        """Return the gradient of the sum of the outputs of the network with all weights replaced
        by their absolute values, for an input of ones, by those absolute values.
        """

    def layer_inputs(self) -> Mapping[str, LayerInputs]:
        """Return what the layers that hold the weights saw as inputs.

        Where they do not fit in memory together, they are measured when they are asked for: ask
        for one after the other, in the order of `weights`.
        """

    def gates(self, size: int) -> Iterator[Arrays]:
        """Yield gradients by gates for micro-batches: name of a kernel -> (k, output channels).

        A gate multiplies an output channel behind the batch normalization that follows the layer;
        its gradient at 1 is gamma * dL/dgamma + beta * dL/dbeta.
        """

    def gate_curvature(self, size: int) -> Iterator[Arrays]:
        """Yield second derivatives by those gates, as `gates` does: name -> (k, channels)."""

    def channel_groups(self) -> Sequence[frozenset[str]]:
        """Return sets of kernels whose output channels are added up (skip connections)."""


# The second argument is None for a scorer that needs no evidence.
Scorer = Callable[[Arrays, Evidence], Mapping[str, Scores]]


def scores_of(scorer: Scorer, weights: Arrays, evidence: Evidence | None) -> Mapping[str, Scores]:
    """Return what the scorer says of the weights.

    Args:
        scorer: the scorer.
        weights: name -> array.
        evidence: what the scorer `needs`; None if that is nothing.

    Example:
        >>> scores_of(lambda weights, evidence: weights, {"w": np.ones(1)}, None)
        {'w': array([1.])}
    """
    return scorer(weights, cast(Evidence, evidence))


def needs_of(scorer: object) -> frozenset[str]:
    """Return what the scorer (or an update rule) asks of `Evidence`.

    `needs_gradients = True`, the older way to say {"gradients"}, still counts.

    Raises:
        ValueError: if `needs` names something else.

    Example:
        >>> needs_of(lambda weights, evidence: weights)
        frozenset()
    """
    found = getattr(scorer, "needs", None)
    if found is None:
        return frozenset({GRADIENTS}) if getattr(scorer, "needs_gradients", False) else frozenset()
    if isinstance(found, str) or not NEEDS.issuperset(found):
        raise ValueError(
            f"`needs` of a scorer must be a set of {', '.join(map(repr, sorted(NEEDS)))}. "
            f"Received: needs={found!r} ({type(scorer).__name__})."
        )
    return frozenset(found)


def require_question(weights: object, evidence: object, *asked: str) -> None:
    """Raise unless a scorer can answer: weights are arrays by name, and evidence has what it asks.

    Args:
        weights: what is to be scored.
        evidence: what there is to ask.
        *asked: names of the methods of `Evidence` that the scorer calls.

    Raises:
        TypeError: if `weights` is no dictionary of arrays, or `evidence` lacks a method; ValueError
            if it is None.

    Example:
        >>> require_question({}, None, "mean")
        Traceback (most recent call last):
        ValueError: `evidence` must be given: the scorer asks for mean. Received: evidence=None.
    """
    require_arrays("weights", weights)
    is_number = isinstance(evidence, np.ndarray | np.generic)  # these have a `mean` of their own
    lacking = [name for name in asked if is_number or not hasattr(evidence, name)]
    if lacking and evidence is None:
        raise ValueError(
            f"`evidence` must be given: the scorer asks for {', '.join(lacking)}. "
            "Received: evidence=None."
        )
    if lacking:
        raise TypeError(
            f"`evidence` must have the methods of tfprune.scorers.Evidence, {', '.join(lacking)} "
            f"too. Received: evidence={evidence!r} (of type {type(evidence).__name__})."
        )


def preferred_distribution(scorer: Scorer) -> str | Distribution:
    """Return the distribution that the scorer was made for.

    Example:
        >>> preferred_distribution(lambda weights, evidence: weights)
        'uniform'
    """
    return getattr(scorer, "distribution", "uniform")
