"""scripts/test.sh, as far as it goes before any test is run."""

import configparser
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("version", [[], ["2.15.0"], ["newest"], ["3.12; rm"], ["-k"]])
def test_a_version_that_is_none_of_keras_3_is_refused_in_one_line(version):
    command = ["bash", ROOT / "scripts" / "test.sh", "--keras", *version]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("test: --keras must be a version of Keras 3")
    assert line.endswith(f"Received: {version[0] if version else 'nothing'}")


def test_the_lowest_keras_is_stated_and_the_newest_is_pinned():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    required = config["options"]["install_requires"].split()
    (lowest,) = [item for item in required if item.startswith("keras")]
    pinned = (ROOT / "constraints.txt").read_text().split()
    (newest,) = [item for item in pinned if item.startswith("keras==")]
    low, high = lowest.removeprefix("keras>="), newest.removeprefix("keras==")
    assert [int(part) for part in low.split(".")] <= [int(part) for part in high.split(".")]
    assert f"--keras {low}" in (ROOT / "scripts" / "test.sh").read_text()
