"""scripts/lab/results_file.py: several processes on one file, where it was made, and damage."""

import json
import re
import threading
import time

import pytest

from scripts.lab import experiments, folders, results_file
from scripts.lab.results_file import Job, ResultsFile

JOBS = [Job("a", 0.5, seed, {"of": "a"}) for seed in range(4)]
HERE, THERE = {"cores": 2, "processor": "x"}, {"cores": 16, "processor": "y"}


def results_at(path, versions=None, **settings):
    entries = {} if versions is None else {"versions": versions}
    return ResultsFile(path, settings, lambda records: {**entries, "count": len(records)})


def content_of(path):
    return json.loads(path.read_text())


def seeds_in(path):
    return [record["seed"] for record in content_of(path)["records"]]


@pytest.fixture
def on(monkeypatch):
    """Set the machine that records are made on."""
    return lambda machine: monkeypatch.setattr(results_file, "machine", lambda: machine)


@pytest.mark.parametrize("fcntl", [folders.fcntl, None])
def test_two_processes_on_one_file_keep_the_records_of_both(fcntl, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "fcntl", fcntl)  # Windows has none
    file = tmp_path / "results.json"
    first, second = results_at(file), results_at(file)
    first.add(JOBS[0], {"x": 0})
    second.add(JOBS[1], {"x": 1})
    first.add(JOBS[2], {"x": 2})
    assert seeds_in(file) == [0, 1, 2] and content_of(file)["count"] == 3
    assert first.find(JOBS[1])["x"] == 1 and second.find(JOBS[2]) is None
    second.save()
    assert seeds_in(file) == [0, 1, 2] and second.find(JOBS[2])["x"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.skipif(folders.fcntl is None, reason="no folder can be locked here")
def test_writes_at_the_same_time_wait_for_each_other(tmp_path):
    file = tmp_path / "results.json"

    def work(method):
        results = ResultsFile(file, {}, lambda records: time.sleep(0.01) or {})
        for seed in range(5):
            results.add(Job(method, 0.5, seed), {"x": seed})

    threads = [threading.Thread(target=work, args=[method]) for method in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {(record["method"], record["seed"]) for record in content_of(file)["records"]}
    assert found == {(method, seed) for method in "abcd" for seed in range(5)}


@pytest.mark.parametrize(
    ("job", "values"), [(JOBS[0], {"x": 2}), (Job("a", 0.5, 0, {"of": "b"}), {"x": 1})]
)
def test_a_record_that_another_process_has_made_differently_is_one_error_with_it(
    job, values, tmp_path
):
    file = tmp_path / "results.json"
    first, second = results_at(file), results_at(file)
    first.add(JOBS[0], {"x": 1})
    before = file.read_bytes()
    with pytest.raises(ValueError, match="from another process, which found other") as error:
        second.add(job, values)
    record = {**job.key, "options": job.options, **values}
    assert str(file) in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).endswith(f"Not added: {json.dumps(record)}")
    assert file.read_bytes() == before
    second.add(JOBS[1], {"x": 3})
    assert seeds_in(file) == [0, 1] and content_of(file)["records"][0]["x"] == 1


def test_a_record_that_another_process_has_found_too_stays_as_it_was(tmp_path):
    file = tmp_path / "results.json"
    first, second = results_at(file), results_at(file)
    first.add(JOBS[0], {"x": 1, "seconds": 10.0, "cpu_seconds": 9.0})
    second.add(JOBS[0], {"x": 1, "seconds": 20.0, "cpu_seconds": 19.0})
    (record,) = content_of(file)["records"]
    assert record["seconds"] == 10.0 and second.find(JOBS[0]) == record


def test_jobs_that_another_process_has_done_meanwhile_are_not_run(tmp_path, capsys):
    file = tmp_path / "results.json"
    other, done = results_at(file), []

    def run(job):
        done.append(job)
        if job == JOBS[0]:
            other.add(JOBS[1], {"x": 1, "seconds": 1.0})
        return {"x": job.seed}

    experiments.run_all(JOBS, results_at(file), run)
    assert done == [JOBS[0], *JOBS[2:]] and sorted(seeds_in(file)) == [0, 1, 2, 3]
    assert "seed 1: done by another process" in capsys.readouterr().out


def test_a_file_that_others_have_made_with_other_settings_is_left_as_it_is(tmp_path):
    file = tmp_path / "results.json"
    first, second = results_at(file, size=1), results_at(file, size=2)
    first.add(JOBS[0], {"x": 1})
    before = file.read_bytes()
    with pytest.raises(ValueError, match='other settings .*Not added: .*"x": 2'):
        second.add(JOBS[1], {"x": 2})
    assert file.read_bytes() == before


def test_a_job_is_added_once(tmp_path):
    results = results_at(tmp_path / "results.json")
    results.add(JOBS[0], {"x": 1})
    with pytest.raises(ValueError, match='has a at 0.5, seed 0 already. Not added: .*"x": 2'):
        results.add(JOBS[0], {"x": 2})
    assert results.find(JOBS[0])["x"] == 1 and len(results.records) == 1


def test_a_file_without_new_records_is_of_the_machine_and_versions_that_made_it(tmp_path, on):
    file = tmp_path / "results.json"
    on(HERE)
    results_at(file, {"keras": "1"}).add(JOBS[0], {"x": 1})
    before = content_of(file)
    on(THERE)
    results_at(file, {"keras": "2"}).save()
    assert content_of(file) == before and before["machine"] == HERE
    assert before["versions"] == {"keras": "1"}


def test_records_of_several_machines_and_versions_name_each_once(tmp_path, on):
    file = tmp_path / "results.json"
    for job, machine, version in zip(JOBS, [HERE, THERE, HERE, THERE], "1112"):
        on(machine)
        results_at(file, {"keras": version}).add(job, {"x": 1})
    found = content_of(file)
    assert found["machine"] == [HERE, THERE]
    assert found["versions"] == [{"keras": "1"}, {"keras": "2"}]
    assert [*found] == ["versions", "count", "machine", "settings", "records"]


def test_records_that_take_the_place_of_all_others_are_of_the_last_machine(tmp_path, on):
    file = tmp_path / "results.json"
    on(HERE)
    results_at(file, {"keras": "1"}).add(JOBS[0], {"x": 1})
    on(THERE)
    results = results_at(file, {"keras": "2"})
    results.records = [{**JOBS[0].key, "options": {"of": ("b",)}, "x": 2}]
    results.save()
    found = content_of(file)
    assert [record["x"] for record in found["records"]] == [2]
    assert found["machine"] == THERE and found["versions"] == {"keras": "2"}


@pytest.mark.parametrize(
    "damage",
    [
        {"records": None},
        {"records": [None]},
        {"records": [{"method": "a", "sparsity": 0.5, "seed": 0}]},
        {"records": [{"sparsity": 0.5, "seed": 0, "options": {}}]},
        {"settings": None},
    ],
)
def test_damaged_entries_are_one_line_that_names_the_file(damage, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"settings": {}, "records": [], **damage}))
    with pytest.raises(ValueError, match=re.escape(f"{file} is no results file")):
        results_at(file)


def test_folders_are_made_when_something_is_written(tmp_path):
    file = tmp_path / "new" / "below" / "results.json"
    results = results_at(file)
    assert not [*tmp_path.iterdir()]
    results.add(JOBS[0], {"x": 1})
    assert seeds_in(file) == [0]


@pytest.mark.parametrize("place", ["file/r.json", "file/below/r.json", "folder", "link/r.json"])
def test_a_place_that_cannot_be_written_is_refused_at_once(place, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ValueError, match="`--out` must be .*writable") as error:
        results_at(tmp_path / place)
    assert str(tmp_path / place) in str(error.value)
