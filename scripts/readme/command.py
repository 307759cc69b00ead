"""Writes the tables of all READMEs from the files in scripts/results.

    python -m scripts.readme            write them
    python -m scripts.readme --check    exit with status 1 where they differ from the files

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; what is there is replaced.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.lab.folders import ROOT
from scripts.readme.contents import TABLES, Read, reader
from scripts.readme.guide_files import guides_of

_REGION = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, compare only")
    check = parser.parse_args(arguments).check
    try:
        old = {file: file.read_text(encoding="utf-8") for file in guides_of(root)}
        new = filled(old, reader(root / "scripts" / "results"))
    except (OSError, ValueError) as error:
        print(f"readme: error: {error}", file=sys.stderr)
        return 1
    changed = [file for file in old if new[file] != old[file]]
    if check and changed:
        names = ", ".join(str(file.relative_to(root)) for file in changed)
        print(
            f"readme: the tables in {names} differ from scripts/results; "
            "run python -m scripts.readme",
            file=sys.stderr,
        )
        return 1
    if not check:
        for file in changed:
            file.write_text(new[file], encoding="utf-8")
    return 0


def filled(texts: dict[Path, str], read: Read) -> dict[Path, str]:
    """Return the texts with every table made anew.

    Args:
        texts: Markdown of each file; together with the markers of every table in `TABLES`, once.
        read: what reads a results file.

    Raises:
        OSError: if a results file is missing.
        ValueError: if a marker is missing or unknown, or a file is no JSON or lacks a figure.
    """
    found = sorted(match[1] for text in texts.values() for match in _REGION.findall(text))
    if found != sorted(TABLES):
        raise ValueError(
            f"The READMEs must have the tables {sorted(TABLES)} once. Received: {found}"
        )
    try:
        return {
            file: _REGION.sub(lambda match: match[1] + TABLES[match[2]](read) + match[3], text)
            for file, text in texts.items()
        }
    except KeyError as error:
        raise ValueError(f"A results file lacks {error}.") from error
