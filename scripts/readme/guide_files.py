"""The READMEs of the repository: which there are."""

from pathlib import Path

_FOLDERS = ("models", "scripts", "tests", "tfprune")
_FOREIGN = "node_modules"


def guides_of(root: Path) -> list[Path]:
    """Return README.md of the root, then those of the folders with code, in the order of paths.

    Args:
        root: the checkout.
    """
    below = (file for folder in _FOLDERS for file in sorted((root / folder).rglob("README.md")))
    found = [root / "README.md", *(file for file in below if _FOREIGN not in file.parts)]
    return [file for file in found if file.is_file()]
