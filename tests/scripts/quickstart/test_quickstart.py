"""scripts/quickstart/command.py, run as a user runs it, with few epochs."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.quickstart import command
from tests.reports import browser

ROOT = Path(__file__).resolve().parents[3]


def quickstart(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "scripts.quickstart", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The output folder and the terminal output of a short run on digits."""
    folder = tmp_path_factory.mktemp("elsewhere")
    done = quickstart("--epochs", "1", "--sparsity", "0.75", "--out", "results", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""  # though TensorFlow would like to say a lot while it loads
    return folder / "results", done.stdout


@pytest.fixture(scope="module")
def results(short_run: tuple[Path, str]) -> dict[str, Any]:
    return json.loads((short_run[0] / "results.json").read_text())


def test_every_file_is_written(short_run: tuple[Path, str]) -> None:
    assert sorted(file.name for file in short_run[0].iterdir()) == [
        "accuracy.png",
        "dense.tflite",
        "layers.png",
        "report.html",
        "results.json",
        "schedule.png",
        "sparse.tflite",
    ]


def test_table_is_printed_with_the_figures_of_the_json(
    short_run: tuple[Path, str], results: dict[str, Any]
) -> None:
    for row in results["table"]:
        line = next(line for line in short_run[1].splitlines() if f"{row['nonzero']:,}" in line)
        assert row["model"] in line and f"{row['gzip_bytes']:,}" in line
        assert f"{row['accuracy']:.2%}" in line


def test_measures_say_what_was_counted_and_are_shown_everywhere(
    short_run: tuple[Path, str], results: dict[str, Any]
) -> None:
    dense, sparse = results["table"]
    sizes, timed = results["measures"][:-1], results["measures"][-1]
    for entry, name in zip(sizes, ("nonzero", "bytes", "gzip_bytes"), strict=True):
        a, a_star = dense["weights" if name == "nonzero" else name], sparse[name]
        assert (entry["a"], entry["a_star"]) == (a, a_star)
        assert entry["compression_rate"] == a / a_star
        assert entry["space_saving"] == (a - a_star) / a
        line = next(line for line in short_run[1].splitlines() if entry["counted"] in line)
        assert f"{a / a_star:.2f}" in line and f"{entry['space_saving']:.2%}" in line
        assert entry["counted"] in (short_run[0] / "report.html").read_text()
    assert timed["speed_up"] == sparse["latency_ratio"] and "on 1 thread" in timed["counted"]


def test_every_pruned_weight_has_exactly_the_asked_sparsity(results: dict[str, Any]) -> None:
    assert len(results["layers"]) == 4
    for layer in results["layers"]:
        assert layer["size"] == np.prod(layer["shape"])
        assert layer["nonzero"] == round(0.25 * layer["size"])


def test_sparse_file_is_smaller_raw_and_gzipped(
    short_run: tuple[Path, str], results: dict[str, Any]
) -> None:
    dense, sparse = results["table"]
    assert sparse["bytes"] == (short_run[0] / "sparse.tflite").stat().st_size
    assert sparse["bytes"] < 0.6 * dense["bytes"]
    assert sparse["gzip_bytes"] < 0.6 * dense["gzip_bytes"]
    assert sparse["nonzero"] < 0.3 * dense["nonzero"]


def test_achieved_sparsity_follows_the_schedule(results: dict[str, Any]) -> None:
    log = results["sparsity_log"]
    assert log[-1]["scheduled"] == 0.75 and log[-1]["step"] <= 180
    for point in log:
        assert point["achieved"] == pytest.approx(point["scheduled"], abs=1e-4)


def test_stages_agree_to_float32_rounding(results: dict[str, Any]) -> None:
    assert len(results["agreement"]) == 3
    assert all(difference <= 1e-4 for difference in results["agreement"].values())


def test_results_carry_command_seed_versions_and_no_path(results: dict[str, Any]) -> None:
    assert results["command"] == (
        "scripts/quickstart.sh --data digits --sparsity 0.75 --epochs 1 --seed 0"
    )
    assert {"python", "tfprune", "tensorflow", "keras"} <= set(results["versions"])
    assert set(results["machine"]) == {"system", "processor", "cores"}
    assert str(ROOT) not in json.dumps(results)


def test_report_is_self_contained(short_run: tuple[Path, str]) -> None:
    page = (short_run[0] / "report.html").read_text()
    assert page.count("<svg") == 4 and len(page) < 300_000
    assert not re.search(r'(src|href)="(?!data:)', page) and "http" not in page


def test_report_gives_the_reason_for_each_layer_that_is_not_sparse(
    short_run: tuple[Path, str], results: dict[str, Any]
) -> None:
    page = html.unescape((short_run[0] / "report.html").read_text())
    assert len(results["kernels"]) == 4
    for layer in results["kernels"]:
        assert f"<td>{layer['name']}</td>" in page and f"<td>{layer['blocker']}</td>" in page
        assert bool(layer["blocker"]) != layer["kernel"].startswith("sparse")


def test_report_is_shown_by_a_browser_without_complaint(
    short_run: tuple[Path, str], tmp_path: Path
) -> None:
    assert browser.screenshot(short_run[0] / "report.html", tmp_path / "page.png") == []
    assert np.ptp(browser.pixels(tmp_path / "page.png"), axis=2).max() > 60, "nothing is drawn"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "mnist"], "choose from 'digits', 'fashion_mnist'"),
        (["--sparsity", "1"], "must be a fraction in [0, 1). Received: 1"),
        (["--sparsity", "90%"], "must be a fraction in [0, 1), did you mean 0.9? Received: 90%"),
        (["--epochs", "0"], "must be an integer >= 1. Received: 0"),
        (["--spars", "0.5"], "unrecognized arguments: --spars 0.5"),
    ],
)
def test_wrong_argument_is_one_line_and_status_2(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    error = capfd.readouterr().err
    assert stop.value.code == 2
    assert message in error and error.count("\n") == 1


def test_missing_data_is_one_line_and_leaves_no_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    where = ("--data-dir", str(tmp_path), "--out", str(tmp_path / "out"))
    assert command.main(["--data", "fashion_mnist", *where]) == 2
    error = capfd.readouterr().err
    assert str(tmp_path) in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_unwritable_output_is_one_line_before_any_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert command.main(["--out", str(tmp_path / "file")]) == 2
    found = capfd.readouterr()
    assert found.out == ""
    assert "must be a writable folder" in found.err and found.err.count("\n") == 1


def test_help_names_every_option(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(["--help"])
    assert stop.value.code == 0
    text = capfd.readouterr().out
    for option in ("--data", "--data-dir", "--sparsity", "--epochs", "--seed", "--out"):
        assert option in text


def test_options_are_read_before_keras_is_loaded() -> None:
    loaded = (
        "import sys, scripts.quickstart.command; print({'keras', 'tensorflow'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
