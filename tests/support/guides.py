"""The READMEs as a reader sees them: sections, code spans, links, and blocks that run."""

import contextlib
import dataclasses
import doctest
import io
import os
import re
from pathlib import Path
from typing import Any

from scripts.readme.guide_files import guides_of
from tests.support.guide_commands import run_commands
from tfprune.export.run import micro

ROOT = Path(__file__).resolve().parents[2]
GUIDES = guides_of(ROOT)

_FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_FOR_MICRO = 'target="microcontroller"'
_OUTPUT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands behind the fence.
        text: what is in it.
        line: of the guide that it begins in, from 1 on.
        follows_block: whether nothing stands between it and the block before.
    """

    language: str
    text: str
    line: int
    follows_block: bool


@dataclasses.dataclass(frozen=True)
class GuideRun:
    """What the blocks of a guide left behind.

    Attributes:
        folder: they ran in.
        states: of each Python block, its text and the names as they were after it.
        printed: by all of them.
    """

    folder: Path
    states: list[tuple[str, dict[str, Any]]]
    printed: str

    def after(self, text: str) -> dict[str, Any]:
        """Return the names as the one block with this text in it left them."""
        (names,) = [names for block, names in self.states if text in block]
        return names


def name_of(guide: Path) -> str:
    """Return the path from the root, for the names of tests."""
    return str(guide.relative_to(ROOT))


def read(name: str) -> str:
    """Return the text of the guide at this path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """Return the text without its blocks."""
    return _FENCE.sub("", text)


def section(text: str, title: str) -> str:
    """Return what stands below a heading, up to the next one of its level or above."""
    level, rest = re.split(rf"^(#+) {re.escape(title)}\n", text, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks in their order."""
    found, end = [], 0
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        adjacent = bool(found) and not text[end : match.start()].strip()
        found.append(Block(match[1], match[2], line, adjacent))
        end = match.end()
    return found


def run(guide: Path, folder: Path) -> GuideRun:
    """Run the blocks of a guide in order: Python in one namespace, commands in one folder.

    A block of text right behind one of them is compared with what that one printed; "..." in it
    stands for anything. Without tflite-micro installed, blocks that export for it are left out.
    """
    names: dict[str, Any] = {"__name__": "guide"}
    states, printed, before = [], "", os.getcwd()
    os.chdir(folder)
    try:
        last = ""
        for block in blocks(guide.read_text(encoding="utf-8")):
            if _FOR_MICRO in block.text and not micro.is_installed():
                continue
            where, output = f"{name_of(guide)}, block at line {block.line}", io.StringIO()
            if block.language == "text":
                if block.follows_block:
                    require_printed(block.text, last, where)
                continue
            with contextlib.redirect_stdout(output):
                if block.language == "python":
                    exec(compile(block.text, where, "exec"), names)
                    states.append((block.text, dict(names)))
                else:
                    run_commands(block.text, folder)
            last = output.getvalue()
            printed += last
    finally:
        os.chdir(before)
    return GuideRun(folder, states, printed)


def require_printed(wanted: str, got: str, where: str) -> None:
    """Raise AssertionError where the output that a guide shows is not what was printed."""
    assert doctest.OutputChecker().check_output(wanted, got, _OUTPUT), f"{where}: {got}"
