"""Fingerprints of code and data: whether a checkpoint was made by what is there today."""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_DIGITS = 12
_UNSAID = {"kind", "type_comment"}  # of no effect: the u of u"text", comments


def of_code(places: Iterable[Path]) -> str:
    """Return a fingerprint of what Python files say, whatever their layout, comments and texts.

    Args:
        places: files, and folders whose files all count.

    Raises:
        ValueError: if there is nothing at one of them.
    """
    found = hashlib.sha256()
    for place in places:
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        if not files or not files[0].is_file():
            raise ValueError(f"there is no code at {place}")
        for file in files:
            found.update(_said_by(file.read_text(encoding="utf-8")))
    return found.hexdigest()[:_DIGITS]


@functools.cache
def _said_by(code: str) -> bytes:
    """What a file says, kept, since every run of a queue asks for most files of the project."""
    return _dump(ast.parse(code)).encode()


def _dump(item: Any) -> str:
    """Return a tree without docstrings as text; `ast.dump` says others in Python 3.12 and 3.13.

    Fields that are empty are left out, since later versions have further ones.

    Example:
        >>> _dump(ast.parse("x = None"))
        "Module(body=[Assign(targets=[Name(ctx=Store(), id='x')], value=Constant())])"
    """
    if isinstance(item, list):
        return f"[{', '.join(_dump(part) for part in item if not _is_docstring(part))}]"
    if not isinstance(item, ast.AST):
        return ascii(item)
    fields = {name: value for name, value in ast.iter_fields(item) if name not in _UNSAID}
    if isinstance(item, ast.JoinedStr):
        # Python 3.12 has an empty text at the end of f"{x:{y}}".
        fields["values"] = [part for part in item.values if getattr(part, "value", "") != ""]
    dumped = {name: _dump(fields[name]) for name in sorted(fields) if fields[name] is not None}
    said = ", ".join(f"{name}={text}" for name, text in dumped.items() if text != "[]")
    return f"{type(item).__name__}({said})"


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def of_data(*parts: Any) -> str:
    """Return a fingerprint of arrays and texts.

    Example:
        >>> of_data(np.arange(3)) == of_data(np.arange(3)) != of_data(np.arange(4))
        True
    """
    found = hashlib.sha256()
    for part in parts:
        array = np.asarray(part)
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:_DIGITS]
