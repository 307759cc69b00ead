"""Examples in a .csv file: a row each, numbers in all columns but that of the labels."""

import csv
import math

import numpy as np

from tfprune.cli.data import class_names
from tfprune.support.typed_text import did_you_mean

_SEPARATORS = (",", ";", "\t")

Row = tuple[int, list[str]]  # number of the line, cells
Shape = tuple[int | None, ...]


def read(
    path: str, shape: object, *, label: str | None = None, labels: bool = True
) -> tuple[tuple[np.ndarray, ...], tuple[str, ...], tuple[str, ...]]:
    """Read examples.

    The first line is a header if a cell of it, besides the last, is no number, or if `label` is a
    name. Labels that are words become numbers in alphabetical order.

    Args:
        path: file with cells separated by commas, semicolons or tabs.
        shape: of the model's input, (None, ...); what has as many numbers gets it. Anything else
            leaves them as they are, (N, columns).
        label: name of the column of the labels, or its number from 1; None for the last.
        labels: whether there must be labels. If not, and all columns are inputs of the model, there
            are none.

    Returns:
        (x, y) or (x,) of float32 inputs (N, ...) and labels (N,); names of the classes, empty where
        labels are numbers; remarks.

    Raises:
        ValueError: naming the line, if a cell is no finite number or a row has another length.
    """
    rows = _rows(path)
    width = len(rows[0][1])
    size = _size(shape)
    unlabelled = not labels and label is None and width == size
    named = label is not None and not label.isdecimal()
    probed = [cell for place, cell in enumerate(rows[0][1]) if unlabelled or place < width - 1]
    header = named or not all(map(_is_number, probed))
    names = rows[0][1] if header else [str(number) for number in range(1, width + 1)]
    place = None if unlabelled else _place(label, names)
    if place is not None and (width == 1 or width == size and labels):
        raise ValueError(
            f"a column must be left for the labels. Received: {width} column(s), and a model of "
            f"{size} inputs"
        )
    rows = rows[header:]
    _require_width(rows, width)
    x = _numbers(rows, names, [column for column in range(width) if column != place])
    if size == x.shape[1] and isinstance(shape, tuple):
        x = x.reshape(-1, *shape[1:])
    if place is None:
        return (x,), (), (f"all {width} columns are inputs",)
    y, classes = _labels(rows, names, place)
    remark = f"labels are column {names[place].strip()}"
    if classes:
        remark += f": {class_names.in_words(classes)}"
    return (x, y), classes, (remark,)


def _rows(path: str) -> list[Row]:
    """The lines that are not empty; two at least."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(_SEPARATORS, key=first.count))
            rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise ValueError(f"no .csv file of text: {error}") from error
    if len(rows) < 2:
        raise ValueError(f"it must have at least two lines. Received: {len(rows)}")
    return rows


def _size(shape: object) -> int | None:
    """How many numbers an input has; None where that is not known."""
    if not isinstance(shape, tuple) or not all(isinstance(axis, int) for axis in shape[1:]):
        return None
    return math.prod(shape[1:])


def _place(label: str | None, names: list[str]) -> int:
    """Index of the column of the labels."""
    stripped = [name.strip() for name in names]
    if label is None:
        return len(names) - 1
    if label in stripped:
        return stripped.index(label)
    if label.isdecimal() and 1 <= int(label) <= len(names):
        return int(label) - 1
    raise ValueError(
        f"--label must be a column{did_you_mean(label, stripped) or '.'} Received: {label}; "
        f"columns: {', '.join(stripped[:12])}"
    )


def _require_width(rows: list[Row], width: int) -> None:
    for line, row in rows:
        if len(row) != width:
            raise ValueError(f"line {line} must have {width} cells. Received: {len(row)}")


def _numbers(rows: list[Row], names: list[str], columns: list[int]) -> np.ndarray:
    """The cells of these columns, float32 (rows, columns)."""
    cells = [[row[column] for column in columns] for _, row in rows]
    try:
        found = np.array(cells, dtype=np.float64)
        if np.isfinite(found).all():
            return found.astype(np.float32)
    except ValueError:
        pass
    for line, row in rows:
        for column in columns:
            if not _is_number(row[column]):
                raise ValueError(
                    f"line {line}, column {names[column]}: it must be a number. "
                    f"Received: {row[column]!r}"
                )
    raise AssertionError("one of the cells is no number")


def _labels(rows: list[Row], names: list[str], place: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels, and what their numbers stand for if they are words."""
    words = [row[place].strip() for _, row in rows]
    empty = next((line for (line, _), word in zip(rows, words) if not word), None)
    if empty is not None:
        raise ValueError(f"line {empty}, column {names[place]}: the label is missing")
    if any(map(_is_number, words)):
        return _numbers(rows, names, [place])[:, 0], ()
    classes = tuple(sorted(set(words)))
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[word] for word in words], "int32"), classes


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
