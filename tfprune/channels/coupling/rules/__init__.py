"""What each class of layers and operations does with channels: class name -> rule.

A rule takes a `Site` and returns the labels of the outputs. What it finds out goes into the book:
which channels are tied, whose the axes of weights are, how the config of the layer shrinks. It
raises `Opaque` where it does not know; the channels that come in then stay.
"""

from collections.abc import Callable

import keras

from tfprune.channels.coupling.call_site import Opaque, Site, unlabelled
from tfprune.channels.coupling.ledger import Labels
from tfprune.channels.coupling.rules import attention, elementwise, products, recurrent, shapes
from tfprune.support.validation import require_callable

Rule = Callable[[Site], list[Labels]]


def apply(site: Site) -> list[Labels]:
    """Return the labels of the outputs of a call, by the rule of its class.

    Raises:
        Opaque: if there is no rule, or it does not hold here.
    """
    rule = _rule(site)
    if rule is not None:
        return rule(site)
    unknown = Opaque(f"what {type(site.operation).__name__} does with channels is not known")
    if site.labelled:
        raise unknown
    site.note_unknown(unknown)
    return [unlabelled(shape) for shape in site.out_shapes]


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
    """Return the rule of the class, or of the Keras class that it changes nothing of.

    A class that changes how it computes, but not what, says so: `computes_as = keras.layers.LSTM`.
    """
    for kind in type(site.operation).__mro__:
        if kind in _REGISTERED:
            return _REGISTERED[kind]
        if vars(kind).get("computes_as") in kind.__mro__:
            return _RULES.get(site.kind)
        if kind.__module__.startswith("keras."):
            return _RULES.get(kind.__name__)
        if _CHANGING & vars(kind).keys():
            return None  # a class of the user's, which may do anything
    return None


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


# Methods that a subclass may compute something else with.
_CHANGING = {"call", "build", "get_config", "__call__", "inner_loop"}
_REGISTERED: dict[type, Rule] = {}
_RULES: dict[str, Rule] = {
    **elementwise.RULES,
    **products.RULES,
    **shapes.RULES,
    **recurrent.RULES,
    **attention.RULES,
    "TimeDistributed": _time_distributed,
}
