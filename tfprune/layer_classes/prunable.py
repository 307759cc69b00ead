"""Which weights of a layer can be pruned.

They are the kernels in the table of axes, and what a user registers. A layer that is not in the
table itself is searched for sublayers that are (attention, bidirectional, stacked cells, any
composite layer), so that only leaves need an entry. Subclasses inherit their parent's entry.
"""

import abc

import keras
from keras import layers

from tfprune.keras_graph.private_keras import sublayers
from tfprune.layer_classes.axes import kernel_attributes, reach
from tfprune.support.by_identity import ByIdentity
from tfprune.support.validation import require_layer

__all__ = [
    "PrunableLayer",
    "explain_skip",
    "may_be_prunable",
    "prunable_weights",
    "register_prunable",
]

_REGISTERED: dict[type, tuple[str, ...]] = {}


class PrunableLayer(abc.ABC):
    """Mixin for a layer that names its own prunable weights.

    Example:
        >>> class Scaled(keras.layers.Layer, PrunableLayer):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_weight(shape=input_shape[1:], name="scale")
        ...     def call(self, inputs):
        ...         return inputs * self.scale
        ...     def get_prunable_weights(self):
        ...         return [self.scale]
    """

    @abc.abstractmethod
    def get_prunable_weights(self) -> list[keras.Variable]:
        """Return the variables to prune, always in the same order; empty before `build`."""


def register_prunable(layer_class: type, *attributes: str) -> None:
    """Make a layer class prunable, for classes that cannot implement `PrunableLayer`.

    Args:
        layer_class: subclass of `keras.layers.Layer`.
        *attributes: names of the attributes that hold its prunable `keras.Variable`s; dots reach
            into sublayers ("cell.kernel").

    Raises:
        TypeError: if `layer_class` is not a layer class, or an attribute no text.
        ValueError: if no attribute is named.

    Example:
        >>> class Gate(keras.layers.Layer): pass
        >>> register_prunable(Gate, "kernel")
    """
    if not (isinstance(layer_class, type) and issubclass(layer_class, keras.layers.Layer)):
        raise TypeError(
            "`layer_class` must be a subclass of keras.layers.Layer. "
            f"Received: layer_class={layer_class!r}."
        )
    if not all(isinstance(attribute, str) for attribute in attributes):
        raise TypeError(
            f"`attributes` must be names, as texts. Received: attributes={attributes!r}."
        )
    if not attributes:
        raise ValueError(
            f"`attributes` must name at least one attribute. Received: attributes={attributes!r}."
        )
    _REGISTERED[layer_class] = attributes


def prunable_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the variables of `layer` and its sublayers that can be pruned.

    Args:
        layer: a Keras layer (or model); an unbuilt one has none yet.

    Returns:
        Floating-point variables, each once, in an order fixed by the layer's structure.

    Example:
        >>> layer = keras.layers.LSTM(2)
        >>> layer.build((None, 3, 4))
        >>> [weight.name for weight in prunable_weights(layer)]
        ['kernel', 'recurrent_kernel']
    """
    return [weight for _, weight in owned_weights(require_layer("layer", layer))]


def owned_weights(layer: keras.layers.Layer) -> list[tuple[keras.layers.Layer, keras.Variable]]:
    """Return `prunable_weights(layer)`, each with the sublayer that holds it.

    Example:
        >>> layer = keras.layers.LSTM(2)
        >>> layer.build((None, 3, 4))
        >>> [(type(part).__name__, weight.name) for part, weight in owned_weights(layer)]
        [('LSTMCell', 'kernel'), ('LSTMCell', 'recurrent_kernel')]
    """
    found: ByIdentity[keras.Variable, keras.layers.Layer] = ByIdentity()
    for part in flatten(layer):
        for variable in _own_weights(part):
            if isinstance(variable, keras.Variable) and _is_float(variable):
                found.setdefault(variable, part)
    return [(part, variable) for variable, part in found.items()]


def may_be_prunable(layer: keras.layers.Layer) -> bool:
    """Return False only if there is nothing to prune for sure, also before the layer is built.

    Example:
        >>> may_be_prunable(keras.layers.Dense(3)), may_be_prunable(keras.layers.ReLU())
        (True, False)
    """
    if require_layer("layer", layer).built:
        return bool(prunable_weights(layer))
    attention = (layers.MultiHeadAttention, layers.GroupQueryAttention)
    return any(
        hasattr(part, "get_prunable_weights")
        or isinstance(part, attention)  # its sublayers are created when it is built
        or not type(part).__module__.startswith("keras.")
        or _entry(part) is not None
        for part in flatten(layer)
    )


def explain_skip(layer: keras.layers.Layer) -> str:
    """Return in one line why `prunable_weights(layer)` is empty.

    Example:
        >>> explain_skip(keras.layers.ReLU())
        'ReLU has no weights'
    """
    kind = type(require_layer("layer", layer)).__name__
    if not layer.weights:
        return f"{kind} has no weights"
    if any(_entry(part) is not None for part in flatten(layer)):
        return f"{kind} holds its weights in a form that cannot be masked (quantized or LoRA)"
    if type(layer).__module__.startswith("keras."):
        return f"{kind} has only small weights that are not worth pruning"
    return f"{kind} is unknown: implement tfprune.PrunableLayer or call tfprune.register_prunable"


def may_hide_weights(layer: keras.layers.Layer) -> bool:
    """Return whether a layer without prunable weights may hold some that cannot be reached.

    Example:
        >>> may_hide_weights(keras.layers.ReLU())
        False
    """
    known = type(require_layer("layer", layer)).__module__.startswith("keras.")
    in_table = any(_entry(part) is not None for part in flatten(layer))
    return bool(layer.weights) and (in_table or not known)


def flatten(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layer and all its sublayers, each once.

    Example:
        >>> len(flatten(keras.layers.LSTM(2)))
        2
    """
    return sublayers(layer)


def _entry(layer: keras.layers.Layer) -> tuple[str, ...] | None:
    for ancestor in type(layer).__mro__:
        attributes = _REGISTERED.get(ancestor, kernel_attributes(ancestor))
        if attributes is not None:
            return attributes or None
    return None


def _own_weights(layer: keras.layers.Layer) -> list[keras.Variable | None]:
    if hasattr(layer, "get_prunable_weights"):
        return list(layer.get_prunable_weights())
    return [reach(layer, attribute)[1] for attribute in _entry(layer) or ()]


def _is_float(variable: keras.Variable) -> bool:
    return keras.backend.is_float_dtype(variable.dtype)


def is_recurrent_cell(layer: keras.layers.Layer) -> bool:
    """Whether a layer computes one step of a recurrent one, which multiplies step by step."""
    return hasattr(layer, "state_size")
