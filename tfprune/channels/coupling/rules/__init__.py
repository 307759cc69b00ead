"""What each class of layers and operations does with channels: class name -> rule.

A rule takes a `Site` and returns the labels of the outputs. What it finds out goes into the book:
which channels are tied, whose the axes of weights are, how the config of the layer shrinks. It
raises `Opaque` where it does not know; the channels that come in then stay. So do those of masks,
and those of which a rule neither says anything nor returns them.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfprune.channels.coupling.book import Book, Multiplication
from tfprune.channels.coupling.call_site import CONSTANT, Opaque, Shape, Site, unlabelled
from tfprune.channels.coupling.ledger import Labels
from tfprune.channels.coupling.rules import (
    attention,
    elementwise,
    products,
    recurrent,
    shapes,
    tensor_products,
)
from tfprune.keras_graph.private_keras import sublayers
from tfprune.support.validation import require_callable

Rule = Callable[[Site], list[Labels]]


def apply(site: Site) -> list[Labels]:
    """Return the labels of the outputs of a call, by the rule of its class.

    Raises:
        Opaque: if there is no rule, or it does not hold here.
    """
    site = site.in_order()
    rule = _rule(site)
    if rule is not None:
        _require_known_parts(site)
        _require_no_arrays(site)
        before = site.book.mark()
        _keep_masks(site)
        found = rule(site)
        _keep_unread(site, found + site.book.written(before))
        return found
    unknown = Opaque(f"what {type(site.operation).__name__} does with channels is not known")
    if site.labelled:
        raise unknown
    site.note_unknown(unknown)
    count(site)
    return [unlabelled(shape) for shape in site.out_shapes]


def count(site: Site) -> None:
    """Write down the multiply-adds of a call whose channels stay, by the rule of its Keras class.

    Weights in another form (quantized, LoRA) count as plain ones. What is not known, and may
    multiply, is named.
    """
    site, known = site.in_order(), _rule(site)
    if tensor_products.count(site):
        return
    weighted = bool(getattr(site.operation, "weights", ()))
    own = known is None and not type(site.operation).__module__.startswith("keras.")
    if not (weighted or own or site.kind in tensor_products.MULTIPLYING):
        return
    book, rule = Book(), known or _RULES.get(site.kind)
    labels = [unlabelled(shape) for shape in site.shapes]
    layer = _plain(site.operation, site.shapes)
    try:
        if rule is None:
            raise Opaque("its class has no rule")
        rule(dataclasses.replace(site, operation=layer, inputs=labels, book=book))
        if own and not (weighted or book.products):
            raise Opaque("its class computes something else")
    except (AttributeError, Opaque):  # a class of one's own may lack what that of Keras has
        book.uncounted.append(site.name)
    if book.uncounted:
        site.book.uncounted.append(site.name)
        return
    for product in book.products:
        stay = np.zeros_like(product.labels)  # they are of another book
        kernel, each = product.kernel, product.each
        if kernel is not None and layer is not site.operation:  # nor is this one the model's
            each *= math.prod(kernel.shape)
            kernel = None
        site.book.products.append(Multiplication(kernel, stay, each))


def register(layer_class: type, rule: Rule) -> None:
    """Say what a layer class of one's own does with channels.

    Args:
        layer_class: subclass of `keras.layers.Layer`.
        rule: of its calls.

    Raises:
        TypeError: if the first is no layer class, or the second is no function.

    Example:
        >>> class Same(keras.layers.Layer): pass
        >>> register(Same, lambda site: [site.inputs[0]])
    """
    if not (isinstance(layer_class, type) and issubclass(layer_class, keras.layers.Layer)):
        raise TypeError(
            "`layer_class` must be a subclass of keras.layers.Layer. "
            f"Received: layer_class={layer_class!r}."
        )
    _REGISTERED[layer_class] = require_callable("rule", rule)


def _rule(site: Site) -> Rule | None:
    """Return the rule of the class, or of the Keras class that it changes nothing of."""
    known = _known(type(site.operation))
    return None if known is None else _REGISTERED.get(known) or _RULES.get(site.kind)


def _known(kind: type) -> type | None:
    """Return the class whose rule holds for `kind`: itself, or one that it changes nothing of.

    A class that changes how it computes, but not what, says so: `computes_as = keras.layers.LSTM`.
    """
    for base in kind.__mro__:
        declared = vars(base).get("computes_as") in base.__mro__
        if base in _REGISTERED or declared or base.__module__.startswith("keras."):
            return base
        if _called_by_keras(kind) & vars(base).keys():
            return None  # a class of the user's, which may do anything
    return None


def _called_by_keras(kind: type) -> set[str]:
    """Return what the classes of Keras that a class is derived from may call of it."""
    return {
        name
        for base in kind.__mro__
        if base.__module__.startswith("keras.")
        for name, value in vars(base).items()
        if inspect.isroutine(value) or isinstance(value, property)
    } - _HARMLESS


def _plain(layer: keras.layers.Layer, shapes: Sequence[Shape]) -> keras.layers.Layer:
    """Return a quantized layer of Keras, or one with LoRA, in plain float32; others as they are."""
    changed = getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False)
    if not changed or not type(layer).__module__.startswith("keras."):
        return layer
    config = {
        key: "zeros" if key.endswith("_initializer") else value
        for key, value in layer.get_config().items()
        if not key.startswith(("lora_", "quantization_", "gptq_"))
    }
    plain = type(layer).from_config(config | {"dtype": "float32"})
    plain.build((None, *shapes[0]))
    return plain


def _is_mask(name: str) -> bool:
    return name == "mask" or name.endswith("_mask") or name == "attention_bias"


def _require_known_parts(site: Site) -> None:
    """What a recurrent or attention layer of Keras holds must compute as Keras's own classes do.

    A rule that is registered for such a part says nothing of its calls by the layer.
    """
    if not (site.kind in recurrent.RULES or site.kind in attention.RULES):
        return
    known = _known(type(site.operation))
    if known is None or not known.__module__.startswith("keras."):
        return
    for part in map(type, sublayers(site.operation)[1:]):
        if _known(part) in (None, *_REGISTERED):
            raise Opaque(f"what {part.__name__} in it does with channels is not known")


def _require_no_arrays(site: Site) -> None:
    """Constants with an entry for each channel would have to be cut, too.

    Masks have none, and the rules of recurrent layers look at the states that they begin with.
    """
    states = {"initial_state"} if site.kind in recurrent.RULES else set()
    for name in site.arguments:
        if site.labelled and name not in states and not _is_mask(name) and site.has_constants(name):
            raise Opaque(CONSTANT)


def _keep_masks(site: Site) -> None:
    """Freeze the channels of tensors that are masks, whose shapes are those of other tensors."""
    for name in site.arguments:
        if _is_mask(name):
            for labels, _ in site.argument(name):
                site.book.ledger.freeze(labels, f"'{site.name}' reads it as a mask")


def _keep_unread(site: Site, known: list[Labels]) -> None:
    """Freeze the channels that come in, and of which nothing is known behind the call."""
    coming = np.concatenate([labels.ravel() for labels in site.inputs] or [np.zeros(0, int)])
    if coming.any():
        known_labels = np.concatenate([labels.ravel() for labels in known])
        unread = np.setdiff1d(coming, known_labels)
        reason = f"'{site.name}' reads it, and what it does with it is not known"
        site.book.ledger.freeze(unread, reason)


def _time_distributed(site: Site) -> list[Labels]:
    """A layer called at every step: what it does, behind the axis of steps."""
    if site.inputs[0].shape[0] > 1:
        raise Opaque("its steps are channels")
    inner = site.operation.layer
    inside = site.at(inner, [labels[0] for labels in site.inputs], 1)
    found = apply(inside)
    change = site.book.resizes.get(inner, lambda config, keeping: None)
    site.resize(lambda config, keeping: recurrent.resize_inner(config, "layer", change, keeping))
    return [labels[None] for labels in found]


# Methods of Keras that a subclass may have of its own and compute the same: how a layer is made of
# its config, shown and stored.
_HARMLESS = {
    "__init__",
    "__reduce__",
    "__repr__",
    "__str__",
    "build_from_config",
    "from_config",
    "get_build_config",
    "load_own_variables",
    "save_own_variables",
    "supports_masking",
    "variable_serialization_spec",
}
_REGISTERED: dict[type, Rule] = {}
_RULES: dict[str, Rule] = {
    **elementwise.RULES,
    **products.RULES,
    **shapes.RULES,
    **recurrent.RULES,
    **attention.RULES,
    "TimeDistributed": _time_distributed,
}
