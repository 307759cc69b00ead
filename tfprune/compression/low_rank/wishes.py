"""What the user asks of the layers, and the ranks that come of it."""

import dataclasses
import numbers
from collections.abc import Callable, Mapping, Sequence

import keras

from tfprune.channels.choosing.budgets import require_one_given
from tfprune.channels.kept import Cost as Whole
from tfprune.compression.low_rank.forms import Cost, Form
from tfprune.compression.low_rank.matrices import Ranks, Split
from tfprune.compression.low_rank.ranks import (
    Option,
    named,
    options_of,
    require_met,
    with_energy,
    within_budget,
)
from tfprune.sparsity.rules import first_match, parse_rules
from tfprune.support.validation import require_integer, require_number

RankRules = Sequence[tuple[str, int | float | None]]
Forms = Mapping[keras.layers.Layer, Form]

_MEASURES: dict[str, Callable[[Cost], int]] = {
    "macs": lambda cost: cost.macs,
    "parameters": lambda cost: cost.parameters,
}
_COUNTED = {"macs": "multiply-adds", "parameters": "weights"}


@dataclasses.dataclass(frozen=True)
class Wish:
    """What all layers are asked for that have no rule of their own.

    Attributes:
        of: "rank", "energy", "macs" or "parameters".
        value: in its range.
        round_to: ranks that are chosen are multiples of it.
        text: as the user gave it.
    """

    of: str
    value: int | float
    round_to: int
    text: str

    @classmethod
    def given(cls, round_to: int, **given: int | float | None) -> "Wish":
        """Return the one that was given.

        Args:
            round_to: see above.
            **given: name of an argument -> its value; None where it was not given.

        Raises:
            TypeError, ValueError: if it is out of its range, or not exactly one was given.

        Example:
            >>> Wish.given(1, rank=8, energy=None)
            Wish(of='rank', value=8, round_to=1, text='rank=8')
        """
        require_one_given(**given)
        require_integer("round_to", round_to, minimum=1)
        ((name, value),) = ((name, value) for name, value in given.items() if value is not None)
        if name == "rank":
            read = require_rank("rank", value)
        else:
            read = require_number(name, value, above=0.0, maximum=1.0)
        return cls(name, read, int(round_to), f"{name}={value!r}")


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What comes of a wish: the ranks of the layers that are factorized, why the others stay."""

    ranks: dict[keras.layers.Layer, Ranks]
    reasons: dict[keras.layers.Layer, str]


def require_rank(name: str, value: object) -> int | float:
    """Return a rank, an integer >= 1 or a fraction in (0, 1).

    Args:
        name: of the value, for the message.
        value: as it was given.

    Example:
        >>> require_rank("rank", 0)
        Traceback (most recent call last):
        ValueError: `rank` must be an integer >= 1 or a fraction in (0, 1). Received: rank=0.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be an integer >= 1 or a fraction in (0, 1). "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
    found = int(value) if isinstance(value, numbers.Integral) else float(value)
    if not (found >= 1 if isinstance(found, int) else 0.0 < found < 1.0):
        raise ValueError(
            f"`{name}` must be an integer >= 1 or a fraction in (0, 1). "
            f"Received: {name}={value!r}."
        )
    return found


def ruled(
    model: keras.Model, found: Mapping[keras.layers.Layer, Form | str], rules: RankRules | None
) -> tuple[dict[keras.layers.Layer, Ranks], dict[keras.layers.Layer, str]]:
    """Return the ranks that rules give layers, and the layers that they leave as they are.

    Args:
        model: of the layers.
        found: each layer with its form, or why it has none.
        rules: as in `tfprune.factorize`.

    Raises:
        TypeError, ValueError: if a rule is no pair (regex, rank), matches nothing, or asks for more
            than the full rank.
    """
    forms = {layer: form for layer, form in found.items() if isinstance(form, Form)}
    paths = [form.weight.path for form in forms.values()]
    others = [weight.path for weight in model.weights]
    parsed = parse_rules(rules, paths, others, require_rank)
    ranks, left = {}, {}
    for layer, form in forms.items():
        rule = first_match(parsed, form.weight.path)
        if rule is None:
            continue
        if rule.value is None:
            left[layer] = "left by a rule"
            continue
        if isinstance(rule.value, int) and rule.value > max(form.full):
            raise ValueError(
                f"A rule must ask for at most the full rank, {max(form.full)} of "
                f"'{form.weight.path}'. Received: ({rule.pattern.pattern!r}, {rule.value!r})."
            )
        ranks[layer] = named(rule.value, form.full)
    return ranks, left


def choose(
    model: keras.Model,
    forms: Forms,
    given: Mapping[keras.layers.Layer, Ranks],
    wish: Wish,
    split_of: Callable[[Form], Split],
    whole: Whole,
) -> Chosen:
    """Return the ranks of all layers.

    Args:
        model: of the layers.
        forms: of all that may be factorized.
        given: ranks of some, by rules.
        wish: for the others.
        split_of: form -> how its weight splits.
        whole: what the model costs.

    Raises:
        ValueError: if no layer has a full rank as large as the one asked for, or a budget cannot be
            met.
    """
    chosen = Chosen(dict(given), {})
    free = {layer: form for layer, form in forms.items() if layer not in given}
    if wish.of == "rank":
        _by_rank(model, free, wish, chosen)
    elif wish.of == "energy":
        for layer, form in free.items():
            options = options_of(form, split_of(form), wish.round_to)
            ranks = with_energy(float(wish.value), options)
            if ranks is None:
                chosen.reasons[layer] = "ranks of so much energy have no fewer weights"
            else:
                chosen.ranks[layer] = ranks
    for layer, ranks in list(chosen.ranks.items()):
        if forms[layer].cost(ranks).parameters >= forms[layer].original.parameters:
            text = ", ".join(map(str, ranks))
            chosen.reasons[layer] = f"rank {text} has no fewer weights"
            del chosen.ranks[layer]
    if wish.of in _MEASURES:
        _by_budget(model, free, forms, wish, split_of, whole, chosen)
    return chosen


def _by_rank(model: keras.Model, free: Forms, wish: Wish, chosen: Chosen) -> None:
    largest = max((max(form.full) for form in free.values()), default=0)
    if free and isinstance(wish.value, int) and wish.value > largest:
        raise ValueError(
            f"`rank` must be at most {largest}, the largest full rank of a layer of "
            f"'{model.name}'. Received: {wish.text}."
        )
    for layer, form in free.items():
        if isinstance(wish.value, int) and wish.value > max(form.full):
            chosen.reasons[layer] = f"its full rank is {max(form.full)}"
        else:
            chosen.ranks[layer] = named(wish.value, form.full)


def _by_budget(
    model: keras.Model,
    free: Forms,
    forms: Forms,
    wish: Wish,
    split_of: Callable[[Form], Split],
    whole: Whole,
    chosen: Chosen,
) -> None:
    measure = _MEASURES[wish.of]
    all_of_it = whole.multiply_adds if wish.of == "macs" else whole.parameters
    others = all_of_it - sum(measure(form.original) for form in free.values())
    for layer, ranks in chosen.ranks.items():
        others += measure(forms[layer].cost(ranks)) - measure(forms[layer].original)
    offers: list[tuple[Cost, list[Option]]] = []
    for form in free.values():
        smaller = [
            option
            for option in options_of(form, split_of(form), wish.round_to)
            if measure(option.cost) < measure(form.original)
        ]
        offers.append((form.original, smaller))
    target = float(wish.value) * all_of_it
    found = within_budget(offers, others, target, measure)
    now = [option.cost if option else cost for option, (cost, _) in zip(found, offers)]
    best = [min((o.cost for o in options), key=measure, default=cost) for cost, options in offers]
    require_met(
        f"{wish.text} for '{model.name}'",
        all_of_it,
        target,
        others + sum(map(measure, now)),
        others + sum(map(measure, best)),
    )
    for layer, option, (_, options) in zip(free, found, offers):
        if option is not None:
            chosen.ranks[layer] = option.ranks
        elif options:
            chosen.reasons[layer] = "the budget leaves it whole"
        else:
            chosen.reasons[layer] = f"no rank has fewer {_COUNTED[wish.of]}"
