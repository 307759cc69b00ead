"""Which layers can be factorized, and how; of the others, why not."""

import functools
from collections.abc import Callable, Sequence

import keras

from tfprune.compression.low_rank.convolution_forms import convolution
from tfprune.compression.low_rank.forms import Form
from tfprune.compression.low_rank.matrix_forms import dense, einsum_dense, embedding, recurrent
from tfprune.keras_graph.calls import Call, flat_calls
from tfprune.keras_graph.replacing import replaceable_layers
from tfprune.layer_classes.prunable import prunable_weights

Former = Callable[[keras.layers.Layer, keras.Variable, Sequence[Call]], Form | str]

# Layer class -> path of its kernel, what it becomes.
_FORMS: dict[type, tuple[str, Former]] = {
    keras.layers.Dense: ("kernel", dense),
    keras.layers.EinsumDense: ("kernel", einsum_dense),
    keras.layers.Embedding: ("embeddings", embedding),
    keras.layers.LSTM: ("cell.kernel", recurrent),
    keras.layers.GRU: ("cell.kernel", recurrent),
    keras.layers.SimpleRNN: ("cell.kernel", recurrent),
}
_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


def forms_of(model: keras.Model, convolutions: str) -> dict[keras.layers.Layer, Form | str]:
    """Return, for each layer with weights worth it, what it becomes or why it stays.

    Args:
        model: built graph without pruned layers.
        convolutions: method for convolutions.

    Example:
        >>> model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(5, name="a")])
        >>> [form.method for form in forms_of(model, "spatial").values()]
        ['SVD']
    """
    calls: dict[keras.Operation, list[Call]] = {}
    for call in flat_calls(model)[0]:
        calls.setdefault(call.operation, []).append(call)
    return {
        layer: reason or _form_of(layer, calls.get(layer, []), convolutions)
        for layer, reason in replaceable_layers(model).items()
        if prunable_weights(layer)
    }


def _form_of(layer: keras.layers.Layer, calls: Sequence[Call], convolutions: str) -> Form | str:
    kind = _computes_as(type(layer))
    if isinstance(layer, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)):
        return "each of its channels has a kernel of its own"
    if kind in _FORMS:
        path, former = _FORMS[kind]
    elif kind in _CONVOLUTIONS:
        path, former = "kernel", functools.partial(convolution, method=convolutions)
    else:
        return f"no factors are known for layers of class {type(layer).__name__}"
    holder, name = (layer.cell, "kernel") if path == "cell.kernel" else (layer, path)
    weight = getattr(holder, name)
    if not any(weight is own for own in layer.weights):
        return f"its {name} is in another form (LoRA, quantized)"
    if getattr(holder, f"{name}_constraint") is not None:
        return f"its {name} has a constraint, which factors would not keep"
    return former(layer, weight, calls)


def _computes_as(kind: type) -> type:
    """Return the class of Keras that a class says it computes as, or itself."""
    declared = vars(kind).get("computes_as")
    return declared if declared in kind.__mro__ else kind
