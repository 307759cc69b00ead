"""What the user wants of some groups of channels: that they stay, or lose a share of their own."""

import dataclasses
from collections.abc import Sequence

import keras

from tfprune.channels.choosing.selection import Candidates, Limits
from tfprune.channels.coupling.groups import Group, find_groups
from tfprune.channels.coupling.ledger import Settled
from tfprune.channels.coupling.reading import Reading
from tfprune.sparsity.rules import Rule, Rules, parse_rules, require_rules, sparsity_of_rule
from tfprune.sparsity.schedules import Schedule
from tfprune.wrapping.pruned_layer import pruned_layers


def require_plain(model: keras.Model) -> None:
    """Raise ValueError if a model has pruned layers."""
    names = [layer.name for layer in pruned_layers(model)]
    if names:
        raise ValueError(
            "`model` must be plain: strip it first, with `shrink=True`. Received: model "
            f"'{model.name}', whose layers {', '.join(names[:3])} are pruned."
        )


def ruled_groups(
    reading: Reading, settled: Settled, rules: Rules | None, limits: Limits, *, inexact: bool
) -> tuple[list[Group], list[float | None]]:
    """Return the groups, frozen where they are to stay, and the share that a rule removes of each.

    Args:
        reading: of the model.
        settled: its channels.
        rules: as in `tfprune.channels.plan`.
        limits: what is left of every group.
        inexact: whether channels may go that a layer normalization sees.

    Raises:
        TypeError: if a rule has neither a fraction nor None.
        ValueError: if a rule matches nothing, or rules disagree on channels that are coupled.
    """
    groups = [
        _with_uneven_frozen(_with_blurred_frozen(group, settled, inexact), limits)
        for group in find_groups(reading, settled)
    ]
    return _with_rules(groups, reading, settled, rules)


def kept_groups(
    reading: Reading, settled: Settled, rules: Rules | None, limits: Limits, *, inexact: bool
) -> list[Group]:
    """Return the groups, frozen where they are to stay; rules can say nothing else.

    Args:
        reading: of the model.
        settled: its channels.
        rules: as in `tfprune.channels.plan`, with None alone.
        limits: what is left of every group.
        inexact: whether channels may go that a layer normalization sees.

    Raises:
        ValueError: if a rule has another value than None, or matches nothing.
    """
    for rule in require_rules(rules):
        if rule[1] is not None:
            raise ValueError(
                "`rules` must be pairs (regex, None), whose channels stay: all others go by their "
                f"scores. Received: {rule!r}."
            )
    return ruled_groups(reading, settled, rules, limits, inexact=inexact)[0]


def _with_blurred_frozen(group: Group, settled: Settled, inexact: bool) -> Group:
    if inexact or not group.blurred:
        return group
    reasons = tuple(
        reason or settled.blurred.get(root, "")
        for reason, root in zip(group.frozen, group.channels.tolist())
    )
    return dataclasses.replace(group, frozen=reasons)


def _with_uneven_frozen(group: Group, limits: Limits) -> Group:
    """Return the group, frozen if layers that make parts of it could not keep rounded widths."""
    if limits.round_to == 1 or not group.parts:
        return group
    why = f"several layers make parts of it, whose widths `round_to={limits.round_to}` cannot keep"
    return dataclasses.replace(group, frozen=tuple(reason or why for reason in group.frozen))


def _with_rules(
    groups: list[Group], reading: Reading, settled: Settled, rules: Rules | None
) -> tuple[list[Group], list[float | None]]:
    """Return the groups, frozen where a rule keeps them, and the share that a rule removes."""
    makers: dict[int, list[str]] = {}
    group_of = {root: at for at, group in enumerate(groups) for root in group.channels.tolist()}
    for lies in reading.book.weights:
        if lies.makes and lies.labels.any():
            root = int(settled.of(lies.labels).max())
            makers.setdefault(group_of[root], []).append(lies.weight.path)
    paths = [path for found in makers.values() for path in found]
    others = [weight.path for weight in reading.model.weights]
    parsed = parse_rules(rules, paths, others, sparsity_of_rule)
    kept, shares = [], []
    asked: dict[Rule[float | Schedule], list[Group]] = {}
    for at, group in enumerate(groups):
        made_by = makers.get(at, [])
        rule = next((r for r in parsed if any(map(r.matches, made_by))), None)
        if rule is not None and rule.value is not None:
            _require_none_kept(rule, parsed, made_by)
        if rule is not None and rule.value is None:
            reason = f"a rule keeps '{rule.pattern.pattern}'"
            group = dataclasses.replace(group, frozen=tuple(r or reason for r in group.frozen))
        elif rule is not None:
            asked.setdefault(rule, []).append(group)
        kept.append(group)
        shares.append(_share(rule))
    for rule, found in asked.items():
        if rule.value and not any(group.removable.any() for group in found):
            raise ValueError(
                "A rule must be about channels that can go. Received: "
                f"({rule.pattern.pattern!r}, {rule.value!r}), which asks it of '{found[0].name}': "
                f"{found[0].frozen[0]}."
            )
    return kept, shares


def _require_none_kept(
    rule: Rule[float | Schedule], rules: Sequence[Rule[float | Schedule]], paths: list[str]
) -> None:
    """Raise ValueError if another rule keeps a kernel that makes the channels of this one, too."""
    for path in paths:
        own = next((other for other in rules if other.matches(path)), rule)
        if own.value is None:
            raise ValueError(
                "Kernels whose channels are coupled must not be both kept and pruned by `rules`. "
                f"Received: ({own.pattern.pattern!r}, None) for '{path}', and "
                f"({rule.pattern.pattern!r}, {rule.value!r}) for what goes together with it."
            )


def less_than_asked(
    groups: Sequence[Group],
    candidates: Sequence[Candidates],
    widths: Sequence[int],
    limits: Limits,
) -> tuple[str, ...]:
    """Return a sentence for each group that loses less than a rule asks of it.

    Groups that stay whole, with a reason for every channel, are left out, and so is what rounding
    to `round_to` makes of a share.
    """
    found = []
    for group, candidate, kept in zip(groups, candidates, widths):
        size = candidate.scores.size
        asked, gone = round((candidate.share or 0.0) * size), size - kept
        if not group.removable.any() or gone >= asked:
            continue
        if gone == 0 or asked - gone > limits.step(candidate) / 2:
            reasons = list(dict.fromkeys(filter(None, group.frozen)))
            why = reasons or [f"round_to={limits.round_to}, min_kept={limits.min_kept}"]
            found.append(
                f"a rule asks {candidate.share:.0%} of '{group.name}', which loses "
                f"{gone / size:.0%}: {'; '.join(why)}"
            )
    return tuple(found)


def _share(rule: Rule[float | Schedule] | None) -> float | None:
    if rule is None or rule.value is None:
        return None
    if not isinstance(rule.value, float):
        raise TypeError(
            "A rule of a channel plan must be (regex, fraction) or (regex, None). "
            f"Received: ({rule.pattern.pattern!r}, {rule.value!r})."
        )
    return rule.value
