"""experiments and results_file.py: jobs, the results file and what is computed of it."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from scripts.lab import experiments
from scripts.lab.results_file import Job, ResultsFile
from scripts.studies import gradual_comparison, one_shot_table

JOBS = [Job(method, 0.5, seed, {"of": method}, 10.0) for seed in (0, 1) for method in "ab"]


def results_at(path, **settings):
    return ResultsFile(path, {"images": 3, **settings}, lambda records: {"count": len(records)})


def accuracy_of(job):
    return {"accuracy": 0.25 + 0.5 * job.seed}


def records_in(path):
    return json.loads(path.read_text())["records"]


def identity(record):
    return record["method"], record["sparsity"], record["seed"]


def test_every_record_is_in_the_file_as_soon_as_its_job_is_done(tmp_path):
    file = tmp_path / "new" / "results.json"
    seen = []

    def run(job):
        seen.append(len(records_in(file)) if file.exists() else 0)
        return accuracy_of(job)

    experiments.run_all(JOBS, results_at(file), run)
    assert seen == [0, 1, 2, 3]
    content = json.loads(file.read_text())
    assert [identity(r) for r in content["records"]] == [(j.method, 0.5, j.seed) for j in JOBS]
    assert content["count"] == 4 and content["settings"] == {"images": 3}
    assert content["machine"]["cores"] == os.cpu_count()
    first = content["records"][0]
    assert first["accuracy"] == 0.25 and first["options"] == {"of": "a"}
    assert first["seconds"] >= 0 and first["cpu_seconds"] >= 0
    assert [path.name for path in file.parent.iterdir()] == ["results.json"]


def test_the_time_that_a_resumed_job_reports_of_all_its_parts_is_kept(tmp_path):
    file = tmp_path / "results.json"
    experiments.run_all(
        JOBS[:1], results_at(file), lambda job: {"seconds": 1234.5, "cpu_seconds": 1000.0}
    )
    (record,) = records_in(file)
    assert (record["seconds"], record["cpu_seconds"]) == (1234.5, 1000.0)


def test_a_job_that_is_named_twice_is_run_and_recorded_once(tmp_path):
    file, done = tmp_path / "results.json", []

    def run(job):
        done.append(job)
        return accuracy_of(job)

    experiments.run_all([*JOBS, JOBS[1], JOBS[0]], results_at(file), run)
    assert done == JOBS and len(records_in(file)) == 4


def test_a_job_with_two_sets_of_options_is_refused_before_any_is_run(tmp_path):
    jobs = [*JOBS, Job("a", 0.5, 0, {"of": "another"})]
    with pytest.raises(ValueError, match="one set of options .*a at 0.5, seed 0, with"):
        experiments.run_all(jobs, results_at(tmp_path / "r.json"), lambda job: pytest.fail())


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path, capsys):
    file = tmp_path / "results.json"
    done = []

    def stopped(job):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job)
        return accuracy_of(job)

    with pytest.raises(KeyboardInterrupt):
        experiments.run_all(JOBS, results_at(file), stopped)
    before = records_in(file)
    assert len(before) == 2 and "4 runs, 0 done before; about 40 s to go" in capsys.readouterr().out

    def resumed(job):
        done.append(job)
        return accuracy_of(job)

    experiments.run_all(JOBS, results_at(file), resumed)
    assert done == JOBS
    assert records_in(file)[:2] == before and len(records_in(file)) == 4
    assert "4 runs, 2 done before" in capsys.readouterr().out
    experiments.run_all(JOBS, results_at(file), stopped)  # nothing is left to run
    assert len(records_in(file)) == 4


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path):
    file = tmp_path / "results.json"
    results = results_at(file)
    results.add(JOBS[0], {"accuracy": 0.5})
    before = file.read_bytes()
    with pytest.raises(TypeError):
        results.add(JOBS[1], {"accuracy": object()})
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_file_made_with_other_settings_is_refused(tmp_path):
    file = tmp_path / "results.json"
    results_at(file, versions={"x": "1"}, sizes=(1, 2)).add(JOBS[0], {"accuracy": 0.5})
    assert results_at(file, versions={"x": "1"}, sizes=(1, 2)).find(JOBS[0])["accuracy"] == 0.5
    with pytest.raises(ValueError, match=r"other settings \(versions {'x': '1'} there, {'x': '2'}"):
        results_at(file, versions={"x": "2"}, sizes=(1, 2))


def test_a_record_made_with_other_options_is_refused(tmp_path):
    results = results_at(tmp_path / "results.json")
    results.add(JOBS[0], {"accuracy": 0.5})
    with pytest.raises(ValueError, match="a at 0.5, seed 0 with other options"):
        results.find(Job("a", 0.5, 0, {"of": "another"}))


def test_options_with_tuples_are_found_again(tmp_path):
    job = Job("a", 0.5, 0, {"stages": (0.3, 0.5)})
    results = results_at(tmp_path / "results.json")
    results.add(job, {"accuracy": 0.5})
    for found in (results.find(job), results_at(tmp_path / "results.json").find(job)):
        assert found["accuracy"] == 0.5


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"records": []}'])
def test_a_damaged_results_file_is_named_and_kept(tmp_path, content):
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=re.escape(str(file))):
        results_at(file)
    assert file.read_text() == content


def test_time_left_is_that_of_timed_methods_and_scales_what_was_expected_of_others(tmp_path):
    results = results_at(tmp_path / "results.json")
    jobs = [Job("a", s, 0, {}, 10.0) for s in (0.5, 0.6, 0.7)] + [Job("b", 0.5, 0, {}, 100.0)]
    assert experiments.remaining_seconds(jobs, jobs, results) == 130.0
    results.add(jobs[0], {"seconds": 20.0})
    results.add(jobs[1], {"seconds": 40.0})
    # One "a" left at the median of 20 and 40; "b" three times as slow as expected, as "a" was.
    assert experiments.remaining_seconds(jobs[2:], jobs, results) == 30.0 + 300.0


def test_means_and_deviations_are_those_over_the_seeds():
    records = [
        {"method": m, "sparsity": 0.5, "seed": s, "accuracy": a}
        for m, s, a in [("a", 2, 0.4), ("b", 0, 0.3), ("a", 0, 0.1), ("a", 1, 0.4)]
    ]
    first, second = experiments.aggregate(records, ["accuracy"])
    assert (first["method"], first["seeds"]) == ("a", [0, 1, 2])
    assert first["accuracy"] == {"mean": 0.3, "sd": pytest.approx(np.std([0.4, 0.1, 0.4], ddof=1))}
    assert second["accuracy"] == {"mean": 0.3, "sd": None}


@pytest.mark.parametrize("script", [one_shot_table, gradual_comparison])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sparsities", "90"], "must be a fraction in (0, 1). Received: 90"),
        (["--methods", "magnitud"], "invalid choice: 'magnitud'"),
        (["--seed", "1"], "unrecognized arguments: --seed 1"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(script, arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        script.main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(ValueError("bad"), 2, "name: error: bad"), (KeyboardInterrupt(), 130, "name: stopped")],
)
def test_errors_and_interrupts_end_in_one_line(error, status, message, capsys):
    def work():
        raise error

    assert experiments.exit_status("name", work) == status
    shown = capsys.readouterr().err
    assert shown.startswith(message) and shown.count("\n") == 1


def test_scripts_write_beside_the_other_results_by_default():
    folder = Path(one_shot_table.__file__).parents[1] / "results"
    assert one_shot_table.OUT == folder / "one_shot_table.json"
    assert gradual_comparison.OUT == folder / "gradual_comparison.json"
