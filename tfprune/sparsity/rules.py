"""Rules: what is asked of the weights whose paths match a regex; the first match wins."""

import dataclasses
import numbers
import re
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tfprune.sparsity.schedules import Schedule, as_schedule
from tfprune.support.typed_text import did_you_mean
from tfprune.support.validation import require_sparsity

Value = TypeVar("Value")
Rules = Sequence[tuple[str, float | Schedule | Callable[[int], float] | None]]


@dataclasses.dataclass(frozen=True)
class Rule(Generic[Value]):
    """A regex for paths, and what it gives the weights that it matches.

    Attributes:
        pattern: must match names of a path that follow one another: the whole path of a weight, a
            layer's name, or what comes after any "/".
        value: None (stays as it is), or what is asked: a final sparsity, or a schedule.
    """

    pattern: re.Pattern[str]
    value: Value | None

    def matches(self, path: str) -> bool:
        """Return whether the rule is about the weight of this path.

        Example:
            >>> rules = [Rule(re.compile(regex), 0.5) for regex in ("conv1/.*", "conv1", "conv")]
            >>> [rule.matches("my_model/conv1/kernel") for rule in rules]
            [True, True, False]
        """
        starts = [0, *(match.end() for match in re.finditer("/", path))]
        ends = [*(match.start() for match in re.finditer("/", path)), len(path)]
        return any(
            self.pattern.fullmatch(path, start, end)
            for number, start in enumerate(starts)
            for end in ends[number:]
        )


def first_match(rules: Sequence[Rule[Value]], path: str) -> Rule[Value] | None:
    """Return the rule that counts for the weight of a path; None if no rule is about it.

    Example:
        >>> first, second = (Rule(re.compile(regex), 0.5) for regex in ("a", ".*"))
        >>> first_match([first, second], "model/a/kernel") is first
        True
    """
    return next((rule for rule in rules if rule.matches(path)), None)


def sparsity_of_rule(name: str, value: object) -> float | Schedule:
    """Return the final sparsity or the schedule that a rule asks for.

    Args:
        name: of the value, for messages.
        value: number in [0, 1), schedule, or function step -> sparsity.
    """
    if isinstance(value, numbers.Real):
        return require_sparsity(name, value)
    return as_schedule(value)


def parse_rules(
    rules: object,
    prunable: Sequence[str],
    others: Sequence[str],
    check: Callable[[str, object], Value],
) -> list[Rule[Value]]:
    """Return the rules, once it is known that each matches something.

    Args:
        rules: as in `tfprune.prune`; None for none.
        prunable: paths of the weights that can be pruned.
        others: paths of the other weights, which a rule may only leave as they are.
        check: (name for messages, value of a rule that is not None) -> the value.

    Raises:
        TypeError: if `rules` is no list of pairs (regex, value).
        ValueError: if a regex or a sparsity is not valid, or a rule matches no weight.

    Example:
        >>> rules = parse_rules(
        ...     [("a/.*", 0.25)], ["a/kernel", "b/kernel"], ["a/bias"], sparsity_of_rule
        ... )
        >>> rules[0].value
        0.25
    """
    found = []
    for rule in require_rules(rules):
        parsed = _parsed(rule, check)
        usable = [*prunable, *others] if parsed.value is None else prunable
        if not any(map(parsed.matches, usable)):
            kind = "" if parsed.value is None else "prunable "
            names = {part for path in usable for part in path.split("/")}
            hint = did_you_mean(parsed.pattern.pattern.partition("/")[0], sorted(names))
            raise ValueError(
                f"A rule must match at least one {kind}weight{hint or '.'} "
                f"Received: {rule!r}; prunable weights: {', '.join(sorted(prunable)[:8])}."
            )
        found.append(parsed)
    return found


def require_rules(rules: object) -> Rules:
    """Return `rules` when they are pairs (regex, value); no rules where None.

    Example:
        >>> require_rules({"a/.*": 0.5})
        Traceback (most recent call last):
        TypeError: `rules` must be a list of pairs (regex, value). Received: rules={'a/.*': 0.5}.
    """
    rules = [] if rules is None else rules
    if isinstance(rules, str | bytes | dict) or not isinstance(rules, Sequence):
        raise TypeError(
            f"`rules` must be a list of pairs (regex, value). Received: rules={rules!r}."
        )
    for rule in rules:
        pair = isinstance(rule, Sequence) and len(rule) == 2
        if not pair or not isinstance(rule[0], str):
            raise TypeError(
                "`rules` must be a list of pairs: a rule must be a pair (regex, value). "
                f"Received: {rule!r}."
            )
    return rules


def _parsed(rule: object, check: Callable[[str, object], Value]) -> Rule[Value]:
    if not (isinstance(rule, Sequence) and len(rule) == 2 and isinstance(rule[0], str)):
        raise TypeError(f"A rule must be a pair (regex, value). Received: {rule!r}.")
    pattern, value = rule
    asked = None if value is None else check(f"value of rule {pattern!r}", value)
    try:
        return Rule(re.compile(pattern), asked)
    except re.error as error:
        raise ValueError(f"A rule must be a valid regex ({error}). Received: {rule!r}.") from error
