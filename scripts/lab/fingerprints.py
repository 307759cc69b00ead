"""Fingerprints of code and data: whether a checkpoint was made by what is there today."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_DIGITS = 12


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
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                    node.value.value = None  # a docstring
            found.update(ast.dump(tree).encode())
    return found.hexdigest()[:_DIGITS]


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
