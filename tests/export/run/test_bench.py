"""What a benchmark measures, and how its figures follow from the measurements."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.cli_runner import error_of, json_of
from tests.support.export import tflite_files
from tfprune import cli
from tfprune.export import benchmark
from tfprune.export.run import bench, child, processes, runtime


@pytest.fixture
def files(tmp_path):
    """Two files, the second ten megabytes larger."""
    shapes = {"small": (4, 8), "large": (1250, 2000)}
    models = {name: tflite_files.linear(np.ones(shape, "f")) for name, shape in shapes.items()}
    return {
        name: tflite_files.write(tmp_path, model, f"{name}.tflite")
        for name, model in models.items()
    }


def test_the_ratio_is_the_median_of_the_ratios_of_the_rounds(files, monkeypatch):
    wall = np.array([[1.0, 8.0, 3.0], [1.0, 2.0, 6.0]])
    monkeypatch.setattr(bench.native, "bench", lambda *args, **options: (wall, 2 * wall))
    monkeypatch.setattr(bench.native, "load", lambda path, threads: (0.5, 7))
    first, second = benchmark(files, runs=3)
    assert (first.ratio, second.ratio) == (1.0, 1.0)  # of 1, 4 and 0.5; the medians give 1.5
    assert (first.median_ms, second.median_ms) == (3000.0, 2000.0)
    assert (first.cpu_ms, second.cpu_ms) == (6000.0, 4000.0)
    assert (second.load_ms, second.memory_bytes) == (500.0, 7)
    assert second.speed_up == second.ratio


def test_measures_compare_with_the_first_file_and_say_what_was_counted(files, monkeypatch):
    wall = np.array([[3.0, 3.0, 3.0], [1.0, 2.0, 1.5]])
    monkeypatch.setattr(bench.native, "bench", lambda *args, **options: (wall, wall))
    monkeypatch.setattr(bench.native, "load", lambda path, threads: (0.5, 7))
    first, second = benchmark(files, runs=3, threads=2)
    assert (first.speed_up, first.compression_rate, first.space_saving) == (1.0, 1.0, 0.0)
    assert second.compression_rate == first.bytes / second.bytes < 1e-3
    assert second.space_saving == (first.bytes - second.bytes) / first.bytes < -1e3
    assert second.to_dict()["speed_up"] == second.speed_up == 2.0
    shown, how = str(second), "one inference in LiteRT, 2 threads, 3 runs in turns"
    assert f"large: median latency 1500 ms of {how}\n" in shown
    assert "speed-up 2.00, too few runs for an interval (latency), compression rate" in shown
    assert "compression rate 0.00 and space saving -1785" in shown
    assert second.formulas["speed_up"].endswith(how)
    assert second.formulas["compression_rate"] == ("bytes of the first file / bytes of this one")


@pytest.mark.parametrize("count", [6, 9, 50])
def test_the_interval_misses_the_median_as_seldom_as_it_says(count):
    draws = np.random.default_rng(0).exponential(size=(2000, count))
    ends = np.array([bench.median_interval(values) for values in draws])
    missed = np.mean((ends[:, 0] > np.log(2)) | (ends[:, 1] < np.log(2)))
    assert missed < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert np.all(ends[:, 0] <= np.median(draws, axis=1))
    assert bench.median_interval(draws[0, :5]) == (0.0, np.inf)


def test_a_speed_up_is_claimed_only_where_the_interval_is_on_one_side_of_one(files, monkeypatch):
    rng = np.random.default_rng(0)
    base = rng.uniform(1, 3, 20)  # how busy the machine is, the same for both in a round
    for factor, noise, words in ((1.0, 0.2, "no measurable difference"), (1.5, 0.2, "1.5")):
        wall = np.stack([factor * base * rng.uniform(1 - noise, 1 + noise, 20), base])
        monkeypatch.setattr(bench.native, "bench", lambda *_, wall=wall, **__: (wall, wall))
        monkeypatch.setattr(bench.native, "load", lambda path, threads: (0.5, 7))
        _, second = benchmark(files, runs=20)
        assert second.differs == (factor > 1) and words in second.verdict in str(second)
        assert second.ratio_low <= second.ratio <= second.ratio_high
        data = second.to_dict()
        assert (data["differs"], data["ratio_low"]) == (second.differs, second.ratio_low)
    monkeypatch.setattr(bench.native, "bench", lambda *_, **__: (wall[:, :5], wall[:, :5]))
    _, second = benchmark(files, runs=5)
    assert not second.differs and "too few runs" in second.verdict
    assert second.to_dict()["ratio_high"] is None


def test_rounds_are_spread_over_processes_with_the_files_in_either_order(monkeypatch):
    asked = []

    def answer(request, folder):
        asked.append(request)
        times = [[float(path) + len(asked)] * request["runs"] for path in request["paths"]]
        return {"wall": times, "cpu": times}

    monkeypatch.setattr(runtime, "_ask", answer)
    wall, cpu = runtime.bench(["10", "20"], runs=12, warmup=1)
    assert wall.shape == cpu.shape == (2, 12)
    assert [request["paths"][0] for request in asked] == ["10", "20", "10", "20", "10"]
    assert sum(request["runs"] for request in asked) == 12
    np.testing.assert_array_equal(wall[1] - wall[0], 10.0)


class Recorder:
    """Stands in for an interpreter and notes when it runs."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def get_input_details(self):
        return []

    get_output_details = get_input_details

    def invoke(self):
        self.log.append(self.name)


def test_files_run_in_turns_and_warm_up_turns_are_not_counted(tmp_path, monkeypatch):
    log = []
    monkeypatch.setattr(child, "TURN_S", 0.0)
    monkeypatch.setattr(child, "load", lambda path, threads: Recorder(path, log))
    (tmp_path / "request.json").write_text(
        '{"job": "bench", "paths": ["a", "b"], "threads": 1, "runs": 3, "warmup": 2}'
    )
    child.main(str(tmp_path))
    assert log == ["a", "b"] * (1 + 2 + 3)  # the first run belongs to loading
    answer = processes._read(str(tmp_path), "answer.json")
    assert [len(times) for times in answer["wall"] + answer["cpu"]] == [3, 3, 3, 3]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory in use")
def test_memory_grows_with_the_weights(files):
    small, large = (benchmark(files, runs=1)[index].memory_bytes for index in (0, 1))
    assert 5e6 < large - small < 60e6


def test_random_inputs_are_the_same_in_every_process(files):
    first, second = (child._random_inputs(child.load(files["small"])) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first[0].dtype == np.float32 and np.std(first[0]) > 0


def test_a_damaged_file_is_named_among_several(files, tmp_path):
    path = tflite_files.write(tmp_path, tflite_files.custom(), "custom.tflite")
    with pytest.raises(ValueError, match="LiteRT can run. Received: path=.*custom.tflite.*Mystery"):
        benchmark({**files, "custom": path}, runs=1)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"runtime": "gpu"}, "`runtime` must be one of 'native', 'wasm'"),
        ({"runtime": "wasm", "threads": 2}, "`threads` must be 1 with `runtime='wasm'`"),
    ],
)
def test_unknown_runtimes_and_threads_in_webassembly_are_refused(options, found, files):
    with pytest.raises(ValueError, match=found):
        benchmark(files, **options)


def test_the_command_shows_memory_and_processor_time(files, capsys):
    data = json_of(capsys, "bench", *files.values(), "--runs", "2")
    assert data["runtime"] == "native"
    assert {"memory_bytes", "cpu_ms", "load_ms"} <= set(data["files"][0])
    small, large = data["files"]
    assert (small["speed_up"], large["speed_up"]) == (1.0, large["ratio"])
    assert large["compression_rate"] == large["bytes_ratio"] == small["bytes"] / large["bytes"]
    assert {"speed_up", "compression_rate", "space_saving"} == set(data["formulas"])
    assert cli.main(["bench", files["small"], "--runs", "2"]) == 0
    shown = capsys.readouterr().out
    assert "CPU, ms" in shown and "memory, MB" in shown
    for words in ("Speed-up: ", "Compression rate: ", "space saving: "):
        assert words in shown
    assert shown.count("a / a*") == 1  # the survey's symbols, in a note


def test_the_command_refuses_what_it_cannot_run_in_one_line(files, capsys, tmp_path):
    path = tflite_files.write(tmp_path, tflite_files.custom(), "custom.tflite")
    assert "Mystery" in error_of(capsys, "bench", path)
    options = ("--runtime", "wasm", "--threads", "2")
    assert "--threads must be 1" in error_of(capsys, "bench", files["small"], *options)


def test_files_need_no_names(files, monkeypatch):
    def times(files, **options):
        return (np.ones((len(files), 3)),) * 2

    monkeypatch.setattr(bench.native, "bench", times)
    monkeypatch.setattr(bench.native, "load", lambda path, threads: (0.5, 7))
    small, large = files.values()
    assert [timing.name for timing in benchmark([small, large])] == [small, large]
    (alone,) = benchmark(Path(small))
    assert (alone.name, alone.ratio) == (small, 1.0)
    with pytest.raises(TypeError, match="Received: paths=3"):
        benchmark(3)
