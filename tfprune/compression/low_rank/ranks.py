"""Which rank every layer gets: one that was named, a share of its energy, or what a budget allows.

A budget is met as by AIMET's greedy search, at equal loss: of every layer, the smallest rank that
loses no more than a limit, which is the same for all and rises until the model costs what is
asked. Where the next rank of a layer would leave too little, the layer stays at this one and the
others go on. The losses are shares of the squared outputs (or weights) of each layer, known
beforehand from its singular values, so that no candidate has to be run. One step of the search is
one rank of one layer. Time O(n log n) for n ranks of all layers.

Source: Kuzmin et al., "Taxonomy and Evaluation of Structured Compression of Convolutional Neural
Networks" (arXiv 1912.09802), section 5.2, on the greedy search for compression ratios.

Deviation: the loss is that of a layer's own outputs, not of the model's.
"""

import dataclasses
from collections.abc import Callable, Sequence

from tfprune.channels.choosing.selection import TOLERANCE
from tfprune.compression.low_rank.forms import Cost, Form
from tfprune.compression.low_rank.matrices import Ranks, Split


@dataclasses.dataclass(frozen=True)
class Option:
    """Ranks that a layer may get, what the factors cost then, and the share they lose."""

    ranks: Ranks
    cost: Cost
    loss: float


Measure = Callable[[Cost], int]


def options_of(form: Form, split: Split, round_to: int) -> list[Option]:
    """Return what a layer may become, the smallest ranks first, with fewer weights each.

    Args:
        form: of the layer.
        split: of its weight.
        round_to: ranks are multiples of it.
    """
    full = split.ranks[-1]
    found: dict[Ranks, float] = {}
    for ranks, loss in zip(split.ranks, split.losses, strict=True):
        rounded = tuple(
            min(-(-rank // round_to) * round_to, most) for rank, most in zip(ranks, full)
        )
        found[rounded] = float(loss)  # the larger of the ranks come last, and lose less
    options = [Option(ranks, form.cost(ranks), loss) for ranks, loss in found.items()]
    return [option for option in options if option.cost.parameters < form.original.parameters]


def named(rank: int | float, full: Ranks) -> Ranks:
    """Return the ranks that one number asks for.

    Args:
        rank: an integer >= 1, at most each full rank; or a fraction of them in (0, 1).
        full: the largest ranks.

    Example:
        >>> named(8, (4, 16)), named(0.5, (4, 16))
        ((4, 8), (2, 8))
    """
    if isinstance(rank, int):
        return tuple(min(rank, most) for most in full)
    return tuple(max(1, round(rank * most)) for most in full)


def with_energy(energy: float, options: Sequence[Option]) -> Ranks | None:
    """Return the smallest ranks that keep a share of the energy; None if none of them does.

    Args:
        energy: in (0, 1].
        options: the smallest ranks first.

    Example:
        >>> with_energy(0.9, [Option((rank,), Cost(rank, rank), 0.2 / rank) for rank in (1, 2)])
        (2,)
    """
    limit = 1.0 - energy + 1e-12  # 1 - 0.9 is not 0.1
    return next((option.ranks for option in options if option.loss <= limit), None)


def within_budget(
    layers: Sequence[tuple[Cost, Sequence[Option]]],
    others: int,
    target: float,
    measure: Measure,
) -> list[Option | None]:
    """Return what each layer becomes so that the model costs about what is asked; None: it stays.

    Args:
        layers: cost of each layer's weight, and what it may become, the smallest ranks first.
        others: what the rest of the model costs.
        target: what the model is to cost.
        measure: what is counted.

    Example:
        >>> layers = [(Cost(100, 0), [Option((r,), Cost(20 * r, 0), 1 / r) for r in (1, 2, 4)]),
        ...     (Cost(50, 0), [Option((1,), Cost(30, 0), 0.4)])]
        >>> found = within_budget(layers, 10, 82, lambda cost: cost.parameters)
        >>> [option and option.ranks for option in found]
        [(2,), (1,)]
    """
    steps: list[tuple[float, int, int, Option]] = []
    for index, (original, options) in enumerate(layers):
        least = measure(original)
        limit = 0.0
        for option in reversed(options):  # rising losses, falling costs
            limit = max(limit, option.loss)
            if measure(option.cost) < least:
                least = measure(option.cost)
                steps.append((limit, index, len(steps), option))
    cost = others + sum(measure(original) for original, _ in layers)
    now = [measure(original) for original, _ in layers]
    chosen: list[Option | None] = [None] * len(layers)
    done: set[int] = set()  # layers whose next step would be too large
    for _, index, _, option in sorted(steps, key=lambda step: step[:3]):
        if cost <= target:
            break
        lower = cost + measure(option.cost) - now[index]
        if lower < (1 - TOLERANCE) * target:
            done.add(index)
        if index not in done:
            chosen[index], cost, now[index] = option, lower, measure(option.cost)
    return chosen


def require_met(what: str, whole: int, target: float, reached: int, least: int) -> None:
    """Raise ValueError unless a budget was reached.

    Args:
        what: budget and model, for the message.
        whole: what the model costs.
        target: what it is to cost.
        reached: what it costs with the chosen ranks.
        least: what it costs with the smallest ones.
    """
    if abs(reached - target) <= TOLERANCE * target:
        return
    share = least / whole if whole else 1.0
    near = f"; near it, {reached / whole:.1%}" if least < target else ""
    raise ValueError(
        f"The budget must be within {TOLERANCE:.0%} of what ranks allow. Received: {what}, of "
        f"which at least {share:.1%} stay{near}."
    )
