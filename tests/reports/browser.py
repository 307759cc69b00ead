"""A page as a real browser shows it: headless Chromium, where it is installed."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_CONSOLE = re.compile(r"CONSOLE[:(].*")


def chromium() -> str:
    """Return the path of a browser, or skip the test."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    return found


def screenshot(page: Path, picture: Path, *options: str, size: str = "1000,1600") -> list[str]:
    """Write what the browser shows of a page; return what its console says.

    Args:
        page: HTML file.
        picture: PNG file to write.
        *options: of the browser.
        size: of the window, width and height.
    """
    command = [
        chromium(),
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--enable-logging=stderr", "--log-level=0", f"--user-data-dir={picture.parent}/profile"),
        *(f"--window-size={size}", f"--screenshot={picture}", "--virtual-time-budget=2000"),
        *options,
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return _CONSOLE.findall(done.stderr)


def evaluated(page: Path, script: str, folder: Path) -> object:
    """Return what JavaScript gives that runs at the end of a page.

    Args:
        page: HTML file.
        script: an expression whose value goes to JSON.
        folder: for a copy of the page.
    """
    text = page.read_text(encoding="utf-8")
    told = f"<script>document.title = btoa(JSON.stringify({script}));</script></body>"
    copy = folder / "evaluated.html"
    copy.write_text(text.replace("</body>", told), encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile")
    command = [chromium(), *options, "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (title,) = re.findall(r"<title>(.*?)</title>", done.stdout)
    return json.loads(base64.b64decode(title))


def pixels(picture: Path) -> np.ndarray:
    """Return a PNG file as numbers from 0 to 255, (height, width, 3)."""
    return np.round(255 * matplotlib.image.imread(picture)[..., :3])
