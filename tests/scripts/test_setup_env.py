"""scripts/setup_env.sh, run in a copied checkout with stand-ins for Python and pip."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Stands for every interpreter: says it is Python 3.11, "makes" a .venv by copying itself into it,
# and logs each pip call, which fails where a file named `no-network` lies beside the log.
STAND_IN = """#!/bin/sh
log={log}
case "$1 $2" in
    "-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && echo venv >>$log ;;
    "-m pip") shift 2; [ ! -e {log}.no-network ] || exit 1; echo "pip $*" >>$log ;;
    *) exit {is_311} ;;
esac
"""


# Logs what it is asked to install; fails as npm does where there is no network.
NPM = """#!/bin/sh
if [ -e {log}.no-network ]; then
    echo "npm error code ENOTFOUND" >&2
    echo "npm error network request failed" >&2
    exit 1
fi
mkdir -p node_modules && echo "npm $*" >>{log}
"""


class Checkout:
    """A copy of the set-up files with its own, empty PATH of stand-ins."""

    def __init__(self, folder: Path):
        self.root = folder / "check out"
        self.log = folder / "log"
        self.bin = folder / "bin"
        (self.root / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        for name in ("setup.cfg", "constraints.txt", "scripts/setup_env.sh"):
            shutil.copy(ROOT / name, self.root / name)
        for tool in "bash cat cksum cp dirname grep mkdir rm sh tr".split():
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.add_python("python3.11")

    def add_python(self, name: str, is_311: bool = True) -> None:
        text = STAND_IN.replace("{log}", str(self.log))
        (self.bin / name).write_text(text.replace("{is_311}", "0" if is_311 else "1"))
        (self.bin / name).chmod(0o755)

    def add_node(self, version: str = "20.1.0") -> None:
        """Make Node and npm available, and what setup_wasm.sh installs."""
        files = ("setup_wasm.sh", "wasm/package.json", "wasm/package-lock.json")
        (self.root / "scripts" / "wasm").mkdir()
        for name in files:
            shutil.copy(ROOT / "scripts" / name, self.root / "scripts" / name)
        major = version.split(".")[0]
        node = f"#!/bin/sh\n[ $1 = -p ] && echo {major} || echo v{version}\n"
        for tool, text in {"npm": NPM.replace("{log}", str(self.log)), "node": node}.items():
            (self.bin / tool).write_text(text)
            (self.bin / tool).chmod(0o755)

    def set_up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.root / "scripts" / "setup_env.sh"), *arguments],
            env={"PATH": str(self.bin), "VIRTUAL_ENV": "/nowhere", "PYTHONPATH": "/nowhere"},
            cwd=os.sep,
            capture_output=True,
            text=True,
        )

    def calls(self) -> list[str]:
        """What was made and installed since the last look."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_second_set_up_does_nothing(checkout: Checkout) -> None:
    assert checkout.set_up("run").returncode == 0
    first = checkout.calls()
    assert first[0] == "venv" and first[-1].endswith(f"--editable {checkout.root}[data]")
    again = checkout.set_up("run")
    assert (again.returncode, again.stdout, checkout.calls()) == (0, "", [])


def test_every_install_is_pinned(checkout: Checkout) -> None:
    checkout.set_up("test")
    installs = checkout.calls()[1:]
    assert len(installs) == 2
    assert all(f"--constraint {checkout.root}/constraints.txt" in call for call in installs)


def test_test_set_up_satisfies_run_but_not_the_other_way(checkout: Checkout) -> None:
    checkout.set_up("run")
    checkout.calls()
    checkout.set_up("test")
    assert checkout.calls()[-1].endswith("[test]")
    checkout.set_up("run")
    assert checkout.calls() == []


def test_changed_pins_install_again(checkout: Checkout) -> None:
    checkout.set_up()
    checkout.calls()
    with (checkout.root / "constraints.txt").open("a") as pins:
        pins.write("zzz==1\n")
    checkout.set_up()
    assert len(checkout.calls()) == 2


def test_failed_install_leaves_no_stamp_and_is_taken_up_again(checkout: Checkout) -> None:
    no_network = Path(f"{checkout.log}.no-network")
    no_network.touch()
    assert checkout.set_up("run").returncode != 0
    assert checkout.calls() == ["venv"]
    no_network.unlink()
    assert checkout.set_up("run").returncode == 0
    assert [call.split()[0] for call in checkout.calls()] == ["pip", "pip"]


def test_broken_venv_is_made_anew(checkout: Checkout) -> None:
    python = checkout.root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    assert checkout.set_up("run").returncode == 0
    assert checkout.calls()[0] == "venv"


def test_other_python_names_are_tried(checkout: Checkout) -> None:
    checkout.add_python("python3.11", is_311=False)
    checkout.add_python("python3")
    assert checkout.set_up("run").returncode == 0


def test_no_python_311_is_one_clear_line(checkout: Checkout) -> None:
    checkout.add_python("python3.11", is_311=False)
    done = checkout.set_up("run")
    assert done.returncode == 2
    assert done.stderr.startswith("setup_env: needs Python 3.11") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [("dev",), ("run", "test")])
def test_wrong_argument_is_one_clear_line(checkout: Checkout, arguments: tuple[str, ...]) -> None:
    done = checkout.set_up(*arguments)
    assert done.returncode == 2
    assert "Received: " in done.stderr and done.stderr.count("\n") == 1


def test_set_up_for_tests_installs_the_webassembly_runtime_once(checkout: Checkout) -> None:
    checkout.add_node()
    assert checkout.set_up("test").returncode == 0
    assert [call for call in checkout.calls() if call.startswith("npm ci")] != []
    again = checkout.set_up("test")
    assert (again.returncode, again.stdout, again.stderr, checkout.calls()) == (0, "", "", [])


def test_set_up_for_running_leaves_npm_alone(checkout: Checkout) -> None:
    checkout.add_node()
    done = checkout.set_up("run")
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(call.startswith("npm") for call in checkout.calls())


def test_without_npm_one_line_says_what_is_skipped(checkout: Checkout) -> None:
    for _ in range(2):
        done = checkout.set_up("test")
        assert done.returncode == 0
        assert done.stderr == (
            "setup_env: the WebAssembly tests will be skipped (npm is not on the PATH)\n"
        )


def test_without_a_network_for_npm_the_set_up_succeeds_and_is_completed_later(
    checkout: Checkout,
) -> None:
    checkout.set_up("test")
    checkout.add_node()
    no_network = Path(f"{checkout.log}.no-network")
    no_network.touch()
    done = checkout.set_up("test")
    assert done.returncode == 0
    assert done.stderr == (
        "setup_env: the WebAssembly tests will be skipped (npm error code ENOTFOUND)\n"
    )
    no_network.unlink()
    checkout.calls()
    assert checkout.set_up("test").stderr == ""
    assert [call.split()[0] for call in checkout.calls()] == ["npm"]


def test_an_old_node_is_named(checkout: Checkout) -> None:
    checkout.add_node("18.2.0")
    done = checkout.set_up("test")
    assert done.returncode == 0 and done.stderr.count("\n") == 1
    assert "needs Node 20 or later. Received: v18.2.0" in done.stderr


def test_installed_versions_are_the_pinned_ones() -> None:
    import importlib.metadata

    pins = (ROOT / "constraints.txt").read_text().split()
    assert all("==" in pin for pin in pins)
    for name in ("tensorflow", "keras", "numpy", "ai-edge-litert", "jax"):
        assert f"{name}=={importlib.metadata.version(name)}" in pins
