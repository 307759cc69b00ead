"""ChannelPlan: which channels of a model go and which stay, with the reasons."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from tfprune.channels.choosing.latency import Latency
from tfprune.channels.coupling.groups import Group
from tfprune.channels.coupling.ledger import Settled
from tfprune.channels.coupling.reading import Reading
from tfprune.channels.kept import Cost, Costs, Kept
from tfprune.channels.left_behind import constants
from tfprune.channels.plan_page import Card, Row, write
from tfprune.reports.pages import page_style
from tfprune.reports.tables import plain_text, table

_HEADINGS = ("channels of", "kept", "of", "mean score", "kept whole because, or not exact")


@dataclasses.dataclass(frozen=True, eq=False)
class GroupPlan:
    """What is decided of one group.

    Attributes:
        group: its channels, the layers that make them, and what keeps each from being removed.
        scores: one a channel, larger = keep; NaN where none was needed.
        removed: whether each channel goes.
    """

    group: Group
    scores: np.ndarray
    removed: np.ndarray

    @property
    def size(self) -> int:
        """Channels of the first layer that makes them: its filters, units or heads."""
        return int(self.group.each[self.group.of_first].sum())

    @property
    def kept(self) -> int:
        """How many of these are left."""
        return int(self.group.each[self.group.of_first & ~self.removed].sum())

    @property
    def reasons(self) -> dict[str, int]:
        """Why channels stay whatever their score -> how many."""
        found: dict[str, int] = {}
        for reason in filter(None, self.group.frozen):
            found[reason] = found.get(reason, 0) + 1
        return found

    @property
    def exact(self) -> bool:
        """Whether removing these channels leaves what is computed from the others as it was."""
        return not (self.group.blurred and self.removed.any())


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class ChannelPlan:
    """Which channels of a model go; made by `tfprune.channels.plan`. Compared by identity.

    Attributes:
        model: name of the model.
        weights: path and shape of each of its weights: the plan is for no other model.
        groups: all groups of channels, those that stay whole among them.
        before: cost of the model.
        after: cost of what is left.
        scorer: name of what scored the channels.
        left_behind: layers that read what the bias or the normalization of a channel with zero
            kernels makes, and whose own bias cannot take it over.
        unknown: layers with weights that are not understood and keep all channels -> why.
        latency: what was measured of the exported files of both, with a budget of latency.
        uncounted: layers and operations whose multiply-adds are in neither cost.
        short: what rules ask of groups that lose less.
    """

    model: str
    weights: tuple[tuple[str, tuple[int, ...]], ...]
    groups: tuple[GroupPlan, ...]
    before: Cost
    after: Cost
    scorer: str
    left_behind: tuple[str, ...] = ()
    unknown: Mapping[str, str] = dataclasses.field(default_factory=dict)
    latency: Latency | None = None
    uncounted: tuple[str, ...] = ()
    short: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the smaller model computes what the original does without these channels."""
        return not self.left_behind and all(group.exact for group in self.groups)

    @property
    def removed(self) -> np.ndarray:
        """Roots of the channels that go."""
        parts = [part.group.channels[part.removed] for part in self.groups]
        return np.concatenate(parts or [np.zeros(0, int)])

    def __str__(self) -> str:
        rows = [self._row(part) for part in self.groups]
        text = plain_text(table(_HEADINGS, rows, texts=1))
        return "\n".join([text.rstrip(), self._totals(), *self._remarks()])

    def _remarks(self) -> list[str]:
        """Say what was measured, what is not exact, and what is kept without a row of its own."""
        lines = [] if self.latency is None else [str(self.latency)]
        lines += [f"less than asked: {text}" for text in self.short]
        if self.left_behind:
            lines.append(
                f"not exact: {', '.join(self.left_behind)} read what channels with zero kernels "
                "leave behind, beside padding or without a bias to take it over"
            )
        for name, why in self.unknown.items():
            left_out = "; its multiply-adds are not counted" * (name in self.uncounted)
            lines.append(f"kept as it is: '{name}', since {why}{left_out}")
        for name in self.uncounted:
            if name not in self.unknown:
                lines.append(f"not counted: the multiply-adds of '{name}'")
        return lines

    def to_html(self, path: str | pathlib.Path) -> None:
        """Write the plan as a page: the width of every group before and after.

        Raises:
            ValueError: if the file cannot be written.
        """
        remarks = [f"{line[0].upper()}{line[1:]}." for line in self._remarks()]
        rows = [
            Row(", ".join(part.group.layers), part.size, part.kept, self._notes(part))
            for part in self.groups
        ]
        write(path, self.model, self._cards(), [f"Scored by {self.scorer}.", *remarks], rows)

    def _repr_html_(self) -> str:
        rows = [self._row(part) for part in self.groups]
        remarks = [self._totals(), *self._remarks()]
        return page_style.fragment(f"Channels of '{self.model}'", (), _HEADINGS, rows, remarks)

    def __repr__(self) -> str:
        return f"<ChannelPlan of '{self.model}': {self._totals()}>"

    def _cards(self) -> list[Card]:
        before, after = dataclasses.asdict(self.before), dataclasses.asdict(self.after)
        cards = [
            Card(
                f"{name.replace('_', '-')} left",
                f"{value:,}",
                f"{after[name]:,}",
                after[name] / max(1, value),
            )
            for name, value in before.items()
        ]
        if self.latency is not None:
            times = (self.latency.before_ms, self.latency.after_ms)
            texts = [f"{time:.3g} ms" for time in times]
            cards.append(Card("latency left", texts[0], texts[1], times[1] / times[0]))
        return cards

    def _totals(self) -> str:
        before, after = self.before, self.after
        return (
            f"parameters {before.parameters:,} -> {after.parameters:,} "
            f"({after.parameters / max(1, before.parameters):.0%}), multiply-adds "
            f"{before.multiply_adds:,} -> {after.multiply_adds:,} "
            f"({after.multiply_adds / max(1, before.multiply_adds):.0%}), scored by {self.scorer}"
        )

    def _notes(self, part: GroupPlan) -> str:
        notes = [f"{count} stay: {reason}" for reason, count in part.reasons.items()]
        return "; ".join(notes + [f"not exact: {part.group.blurred}"] * (not part.exact))

    def _row(self, part: GroupPlan) -> tuple[str, ...]:
        layers = part.group.layers
        name = layers[0] if len(layers) == 1 else f"{layers[0]} + {len(layers) - 1}"
        scores = part.scores[~np.isnan(part.scores)]
        mean = f"{scores.mean():.3g}" if scores.size else "-"
        return (name, f"{part.kept:,}", f"{part.size:,}", mean, self._notes(part))


def signature(model: keras.Model) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return what a plan knows a model by: paths and shapes of its weights."""
    return tuple((weight.path, tuple(weight.shape)) for weight in model.weights)


def made_plan(
    reading: Reading,
    settled: Settled,
    parts: Sequence[GroupPlan],
    costs: Costs,
    scorer: str,
    latency: Latency | None = None,
    short: tuple[str, ...] = (),
) -> ChannelPlan:
    """Return the plan of what is decided of each group.

    Args:
        reading: of the model.
        settled: its channels.
        parts: one for each group.
        costs: of the model.
        scorer: name of what scored the channels.
        latency: what was measured, with a budget of latency.
    """
    gone = [part.group.channels[part.removed] for part in parts]
    removed = np.concatenate(gone or [np.zeros(0, int)])
    return ChannelPlan(
        reading.model.name,
        signature(reading.model),
        tuple(parts),
        costs.of(np.zeros(0, int)),
        costs.of(removed),
        scorer,
        constants(reading, Kept(settled, removed)).inexact,
        reading.book.unknown,
        latency,
        tuple(dict.fromkeys(reading.book.uncounted)),
        short,
    )
