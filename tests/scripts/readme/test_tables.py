"""The tables of the READMEs are those of the results files."""

import json
import shutil
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from scripts.readme import command
from scripts.readme.guide_files import guides_of

ROOT = Path(__file__).resolve().parents[3]
RESULTS = "scripts/results/README.md"


def test_the_tables_are_those_of_the_results_files():
    assert command.main(["--check"]) == 0


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with copies of the READMEs and the results files."""
    for file in (*guides_of(ROOT), *(ROOT / "scripts" / "results").rglob("*.json")):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    command.main([], root=tmp_path)
    return tmp_path


def edit(file: Path, path: tuple[Any, ...], value: Any) -> None:
    """Set one figure of a results file."""
    results = json.loads(file.read_text())
    *parents, key = path
    reduce(lambda owner, name: owner[name], parents, results)[key] = value
    file.write_text(json.dumps(results))


def test_a_changed_figure_fails_the_check_in_one_line_until_it_is_written(copied, capsys):
    assert command.main(["--check"], root=copied) == 0
    file = copied / "scripts" / "results" / "quickstart-digits" / "results.json"
    edit(file, ("table", 1, "bytes"), 12_345)
    before = (copied / RESULTS).read_text()
    assert command.main(["--check"], root=copied) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"readme: the tables in {RESULTS} differ" in error
    assert (copied / RESULTS).read_text() == before
    assert command.main([], root=copied) == 0
    assert "| 12,345 |" in (copied / RESULTS).read_text()
    assert command.main(["--check"], root=copied) == 0


@pytest.mark.parametrize("value, missed", [(1.05, False), (1.051, True)])
def test_a_figure_past_its_target_is_called_missed(copied, value, missed):
    file = copied / "scripts" / "results" / "bench_core.json"
    edit(file, ("lstm_2x650", "tfprune_step_to_unpruned", "ratio_of_medians"), value)
    command.main([], root=copied)
    row = next(r for r in (copied / RESULTS).read_text().splitlines() if f"| {value} (" in r)
    assert row.startswith("| training step / unpruned | at most 1.05 |")
    assert ("missed" in row) == missed


@pytest.mark.parametrize("name", ["bench_core.json", "quickstart-digits/results.json"])
def test_a_missing_or_damaged_results_file_is_one_line(copied, name, capsys):
    file = copied / "scripts" / "results" / name
    for damage in (lambda: file.write_text("{}"), lambda: file.write_text("{"), file.unlink):
        damage()
        assert command.main(["--check"], root=copied) == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_a_lost_marker_is_one_line(copied, capsys):
    readme = copied / RESULTS
    readme.write_text(readme.read_text().replace("<!-- table: core -->", ""))
    assert command.main([], root=copied) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "core" in error
