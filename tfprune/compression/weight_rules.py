"""Rules of a method, for the prunable weights of a model."""

from collections.abc import Callable

import keras

from tfprune.layer_classes.prunable import prunable_weights
from tfprune.sparsity.rules import Rule, Value, parse_rules
from tfprune.support.by_identity import each_once


def rules_of(
    model: keras.Model, rules: object, check: Callable[[str, object], Value]
) -> list[Rule[Value]]:
    """Return the rules that a user gave, once each is known to match a weight of the model.

    Args:
        model: built.
        rules: as in `tfprune.prune`; None for none.
        check: (name for messages, value of a rule that is not None) -> the value.

    Raises:
        TypeError, ValueError: as `parse_rules` does.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a")])
        >>> [rule.value for rule in rules_of(model, [("a", 4)], lambda name, value: value)]
        [4]
    """
    prunable = prunable_weights(model)
    known = each_once(prunable)
    others = [weight.path for weight in model.weights if weight not in known]
    return parse_rules(rules, [weight.path for weight in prunable], others, check)
