"""Small pictures as SVG, in the colours of the page: they follow dark mode and print sharply."""

import html
import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 320, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 8, 24
_ROOM = 0.15  # of the range, around points
_WHOLE = 100  # from which on numbers are labelled without decimals
_KEY = 18  # height of the line with the names
_STROKES = ("var(--kept)", "var(--mark)", "var(--soft)", "var(--ink)")

Point = tuple[float, float]


def line_chart(
    series: Mapping[str, Sequence[Point]], *, below: str, percent: bool = False, dots: bool = False
) -> str:
    """Draw lines over a common axis.

    Args:
        series: name -> points (x, y), in the order of x; at most four.
        below: what the x axis counts.
        percent: whether y is a fraction that is labelled in percent.
        dots: whether to draw points with their names and no lines.

    Example:
        >>> line_chart({"a": [(1, 0.0), (2, 0.5)]}, below="epoch").count("<polyline")
        1
    """
    points = [point for line in series.values() for point in line if math.isfinite(point[1])]
    room = _ROOM if dots else 0.0
    low_x, high_x = _range([x for x, _ in points], room)
    low_y, high_y = _range([y for _, y in points], room)

    def place(point: Point) -> Point:
        across = (point[0] - low_x) / (high_x - low_x)
        up = (point[1] - low_y) / (high_y - low_y)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    def shown(value: float) -> str:
        return f"{value:.1%}" if percent else _number(value)

    parts = [
        _text(_LEFT - 4, _HEIGHT - _BOTTOM, shown(low_y), "end"),
        _text(_LEFT - 4, _TOP + 8, shown(high_y), "end"),
        _text(_LEFT, _HEIGHT - 6, _number(low_x), "start"),
        _text(_WIDTH - _RIGHT, _HEIGHT - 6, _number(high_x), "end"),
        _text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, below, "middle"),
        f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" '
        'stroke="var(--line)"/>',
    ]
    for number, (name, line) in enumerate(series.items()):
        colour = _STROKES[number % len(_STROKES)]
        places = [place(point) for point in line if math.isfinite(point[1])]
        if dots or len(places) == 1:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places
            ]
        else:
            joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(
                f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
    return _svg([*parts, _key(list(series))], f"{', '.join(series)} over {below}", _KEY)


def histogram(
    kept: Sequence[int], removed: Sequence[int], limit: float, threshold: float | None
) -> str:
    """Draw how many values of a weight are where; heights are square roots of the counts.

    Args:
        kept: counts of the values that are kept, in bins of equal width from -limit to limit.
        removed: counts of those that are removed, drawn on top.
        limit: largest magnitude.
        threshold: smallest magnitude that is kept, marked on both sides; None for no mark.

    Example:
        >>> histogram([1, 0, 4], [0, 2, 0], 1.0, 0.5).count("<path")
        3
    """
    floor, high = _HEIGHT - _BOTTOM, _HEIGHT - _TOP - _BOTTOM
    tallest = math.sqrt(max((a + b for a, b in zip(kept, removed)), default=1) or 1)
    step = _WIDTH / max(1, len(kept))
    lower, upper = [], []
    for place, (stay, go) in enumerate(zip(kept, removed)):
        x, middle = place * step, math.sqrt(stay) / tallest * high
        top = math.sqrt(stay + go) / tallest * high
        if stay:
            lower.append(_box(x, floor - middle, step, middle))
        if go:
            upper.append(_box(x, floor - top, step, top - middle))
    parts = [
        f'<path d="{"".join(upper)}" fill="var(--gone)"/>',
        f'<path d="{"".join(lower)}" fill="var(--kept)"/>',
        f'<path d="M0 {floor}H{_WIDTH}" stroke="var(--line)"/>',
        _text(0, _HEIGHT - 6, f"{-limit:.3g}", "start"),
        _text(_WIDTH, _HEIGHT - 6, f"{limit:.3g}", "end"),
    ]
    if threshold is not None and limit > 0:
        for sign in (-1, 1):
            x = _WIDTH / 2 * (1 + sign * threshold / limit)
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{floor}" stroke="var(--mark)" '
                'stroke-dasharray="4 3"/>'
            )
        parts.append(_text(_WIDTH / 2, _HEIGHT - 6, f"threshold {threshold:.3g}", "middle"))
    return _svg(parts, "histogram of the values")


def _box(x: float, y: float, width: float, height: float) -> str:
    return f"M{x:.1f} {y:.1f}h{width - 0.5:.1f}v{height:.1f}h{0.5 - width:.1f}z"


def _key(names: Sequence[str]) -> str:
    spans = (
        f'<tspan dx="{8 * (number > 0)}" style="fill: {_STROKES[number % len(_STROKES)]}">'
        f"\u25cf {html.escape(name)}</tspan>"
        for number, name in enumerate(names)
    )
    return f'<text x="{_LEFT}" y="{_HEIGHT + _KEY - 4}">{"".join(spans)}</text>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _range(values: Sequence[float], room: float) -> Point:
    low, high = min(values, default=0.0), max(values, default=1.0)
    beside = room * (high - low)
    return (low - beside, high + beside) if high > low else (low - 0.5, low + 0.5)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.3g}"


def _svg(parts: Sequence[str], text: str, below: int = 0) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + below}" role="img" '
        f'aria-label="{html.escape(text)}">{"".join(parts)}</svg>'
    )
