"""prune and verify: the smaller model of a plan, and how far it is from the original."""

import keras
import numpy as np

from tfprune.channels.channel_plan import ChannelPlan, signature
from tfprune.channels.coupling.reading import Reading, read
from tfprune.channels.gating import at_rest, gated
from tfprune.channels.kept import Kept
from tfprune.channels.left_behind import constants
from tfprune.channels.samples import on_random_inputs
from tfprune.channels.surgery import cut
from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.compiling import compile_like
from tfprune.keras_graph.private_keras import inputs_in_order
from tfprune.support.arrays import host_array
from tfprune.support.tensors import Nest
from tfprune.support.validation import require_model


def prune(model: keras.Model, plan: ChannelPlan) -> keras.Model:
    """Return a smaller plain Keras model without the channels that the plan removes.

    Weights, trainable flags, dtype policies, regularizers, constraints, ties and shared layers are
    carried over, and the compile settings with a fresh optimizer, where Keras can write them down.

    Args:
        model: the one that the plan was made for; it is not changed.
        plan: from `tfprune.channels.plan`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the plan was made for another model, or a layer cannot be copied.

    Warns:
        UserWarning: if the model has to be compiled again by hand.

    Example:
        >>> from tfprune.channels import plan
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, name="a"),
        ...     keras.layers.Dense(2, name="b")])
        >>> prune(model, plan(model, 0.5)).get_layer("a").units
        4
    """
    reading, kept = _matched(model, plan)
    small = cut(reading, kept, constants(reading, kept).values)
    compile_like(model, small, "The smaller model")
    return small


def verify(model: keras.Model, plan: ChannelPlan, small: keras.Model, inputs: Nest = None) -> float:
    """Return how far the smaller model is from the original with the removed channels at zero.

    Both are run on random inputs, of several lengths where the model leaves one open, and on those
    given; on those given alone where a model may have to know words, or runs at none of the lengths
    that are tried. A channel whose kernels are zero already keeps what its bias and normalization
    leave behind.

    Args:
        model: the original.
        plan: what was removed.
        small: the smaller model.
        inputs: a batch for the model, or None.

    Returns:
        Largest difference of any output, as a fraction of the largest finite output; inf where one
        model gives infinity or no number and the other something else.

    Raises:
        ValueError: if the plan was made for another model, the outputs differ in shape, the inputs
            do not fit, or there are none and the model does not take random ones.

    Example:
        >>> from tfprune.channels import plan, prune
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, name="a"),
        ...     keras.layers.Dense(2, name="b")])
        >>> found = plan(model, 0.5)
        >>> verify(model, found, prune(model, found)) < 1e-6
        True
    """
    reading, kept = _matched(model, plan)
    require_model("small", small)
    own, other = _input_shapes(model), _input_shapes(small)
    if own != other:
        raise ValueError(
            "`small` must be the smaller model of this plan. Received: a model with inputs "
            f"{other} in place of {own}."
        )
    given = [] if inputs is None else [_fit(model, inputs)]
    values = constants(reading, kept).values

    def wanted(batch: Nest) -> tuple[list[np.ndarray], Nest]:
        return gated(reading, kept, batch, values), batch

    found = [wanted(batch) for batch in given]
    texts = [tensor.name for tensor in model.inputs if _is_text(tensor)]
    if not (texts and given):
        try:
            found += on_random_inputs(model, wanted)
        except Exception as error:  # whatever the backend raises of a length, or of unknown words
            if not given:
                kind = f"random words for {texts}" if texts else "random inputs of many lengths"
                raise ValueError(
                    "`inputs` must be given where a model does not take random ones. Received: "
                    f"inputs=None, and '{model.name}' fails with {kind}: {error}"
                ) from error
    return max(_difference(outputs, small, batch) for outputs, batch in found)


def _fit(model: keras.Model, inputs: Nest) -> Nest:
    """Return the inputs if they are arrays of the shapes that the model takes."""
    graph = graph_of(model)
    assert graph is not None
    try:
        given = inputs_in_order(graph, inputs)
    except KeyError:  # a dictionary that lacks one
        given = []
    arrays = [np.asarray(array) for array in given]
    wanted = _input_shapes(model)
    fits = len(arrays) == len(wanted) and all(
        array.dtype.kind in ("OSU" if _is_text(tensor) else "biuf")
        and len(array.shape) == len(shape)
        and all(size in (None, given) for size, given in zip(shape[1:], array.shape[1:]))
        for array, tensor, shape in zip(arrays, model.inputs, wanted)
    )
    if not fits:
        kinds = ["text" if _is_text(tensor) else "numbers" for tensor in model.inputs]
        raise ValueError(
            f"`inputs` must be a batch of {' and '.join(dict.fromkeys(kinds))} of the shapes "
            f"{wanted}. Received: inputs of type {type(inputs).__name__}, shapes "
            f"{[array.shape for array in arrays]}, dtypes {[str(array.dtype) for array in arrays]}."
        )
    return inputs


def _input_shapes(model: keras.Model) -> list[tuple[int | None, ...]]:
    """Return the shapes of a model's inputs; none for one without a graph."""
    return [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]


def _is_text(tensor: keras.KerasTensor) -> bool:
    return bool(tensor.dtype == "string")


def _matched(model: keras.Model, plan: ChannelPlan) -> tuple[Reading, Kept]:
    require_model("model", model)
    if not isinstance(plan, ChannelPlan):
        raise TypeError(
            "`plan` must be a ChannelPlan, from tfprune.channels.plan. "
            f"Received: plan={plan!r} (of type {type(plan).__name__})."
        )
    if signature(model) != plan.weights:
        raise ValueError(
            f"`plan` must be made for this model. Received: a plan for '{plan.model}' with "
            f"{len(plan.weights)} weights, and model '{model.name}' with {len(model.weights)}, "
            "which differ in paths or shapes."
        )
    reading = read(model)
    settled = reading.book.ledger.settle()
    planned = np.concatenate([part.group.channels for part in plan.groups] or [np.zeros(0, int)])
    own = np.unique(settled.roots[settled.roots > 0])
    stay = [root for root in plan.removed.tolist() if root in settled.reasons]
    if stay or not np.array_equal(np.sort(planned), own):
        why = f"; there, {settled.reasons[stay[0]]}" if stay else ""
        raise ValueError(
            f"`plan` must be made for this model. Received: a plan for '{plan.model}', of other "
            f"calls of the layers of '{model.name}'{why}."
        )
    return reading, Kept(settled, plan.removed)


def _difference(wanted: list[np.ndarray], small: keras.Model, inputs: Nest) -> float:
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    with keras.StatelessScope(state_mapping=at_rest(small)):
        outputs = keras.tree.flatten(small(tensors, training=False))
    got = [host_array(value) for value in outputs]
    if [value.shape for value in got] != [value.shape for value in wanted]:
        raise ValueError(
            "`small` must be the smaller model of this plan. Received: a model with outputs "
            f"{[value.shape for value in got]} in place of {[value.shape for value in wanted]}."
        )
    scale = max(float(np.abs(value).max(where=np.isfinite(value), initial=0)) for value in wanted)
    worst = max(map(_farthest, got, wanted))
    return worst / scale if scale else worst


def _farthest(got: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest distance; inf where something is not finite, and not the same in both."""
    apart = (got != wanted) & ~(np.isnan(got) & np.isnan(wanted))
    first, second = got[apart].astype(float), wanted[apart].astype(float)
    distances = np.abs(first - second)
    return float(np.where(np.isnan(distances), np.inf, distances).max(initial=0))
