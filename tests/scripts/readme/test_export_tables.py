"""scripts/readme/export_tables.py, on results written by hand."""

import copy

import pytest

from scripts.readme import export_tables, markdown

ORIGIN = {
    "command": "python x",
    "versions": {"tfprune": "1"},
    "machine": {"cores": 2, "processor": "cpu"},
}


def measured(name, size, **values):
    """One file of the benchmark, as fast as the dense one where nothing else is said."""
    return {
        "name": name,
        "runtime": "wasm",
        "median_ms": 10.0,
        "p10_ms": 9.0,
        "p90_ms": 12.0,
        "ratio": 1.0,
        "cpu_ratio": 1.0,
        "bytes": size,
        "gzip_bytes": size // 2,
        "goal": None,
        "difference": 2e-7,
        "theory_bytes": 0,
        "encoded_bytes": 0,
        "sparse_layers": 0,
        "layers": 28,
        "sparse_multiply_adds": 0.0,
        **values,
    }


SPARSE = {"sparse_layers": 13, "sparse_multiply_adds": 0.9471}
BENCH = {
    **ORIGIN,
    "labels": {"mobilenet_v1": "MobileNetV1", "mlp": "MLP", "lstm": "LSTM"},
    "settings": {"runs": 60, "threads": 1},
    "records": [
        {
            "method": "mobilenet_v1",
            "sparsity": 0.9,
            "files": [
                measured("dense", 16_910_000),
                measured("float32", 2_750_000, goal=3.0, ratio=3.0, cpu_ratio=3.25, **SPARSE),
                measured("float16", 1_830_001, ratio=2.5, difference=1e-3, **SPARSE),
                measured(
                    "int8_weights", 1_640_000, theory_bytes=1_500_000, encoded_bytes=1_400_000
                ),
            ],
        },
        {
            "method": "mlp",
            "sparsity": 0.95,
            "files": [
                measured("dense", 20_000_000, runtime="native"),
                measured("dynamic", 600_000, runtime="native", goal=10.0, ratio=9.996),
            ],
        },
    ],
}


@pytest.fixture
def bench():
    return copy.deepcopy(BENCH)


def column(table, name):
    headings, rows, _ = table
    return [row[headings.index(name)] for row in rows]


def test_the_speed_table_has_a_row_a_file_but_not_for_the_dense_one(bench):
    headings, rows, about = export_tables.speed(bench)
    assert rows[0] == [
        "MobileNetV1",
        "WebAssembly",
        "90 %",
        "float32",
        "13 of 28",
        "94.7%",
        "10 (9 to 12)",
        "10 (9 to 12)",
        "at least 3",
        "3.00",
        "3.25",
        "2.0e-07",
    ]
    files = column((headings, rows, about), "file")
    assert files == ["float32", "float16", "int8_weights", "dynamic"]
    assert "of 60 turns" in about and "1 thread" in about
    assert about.endswith("`python x`, on 2 cpu cores; tfprune 1.")


def test_a_speed_goal_is_missed_below_it_by_the_file_alone_however_it_is_rounded(bench):
    table = export_tables.speed(bench)
    assert column(table, "goal") == ["at least 3", "", "", "at least 10"]
    assert column(table, "dense / this") == ["3.00", "2.50", "1.00", "10.00, **missed**"]
    assert "Missed of 3 goals: MLP at 95 %, dynamic (9.996 of 10)." in table[2]
    bench["records"][1]["files"][1]["ratio"] = 10.0
    table = export_tables.speed(bench)
    assert "missed" not in str(table[1]) and "All 3 goals are met." in table[2]


def test_processor_time_does_not_make_up_for_a_missed_goal(bench):
    bench["records"][1]["files"][1]["cpu_ratio"] = 12.0
    table = export_tables.speed(bench)
    assert column(table, "processor time")[-1] == "12.00"
    assert column(table, "dense / this")[-1] == "10.00, **missed**"


def test_a_difference_counts_as_missed_in_float32_only(bench):
    bench["records"][0]["files"][1]["difference"] = 1.1e-5
    table = export_tables.speed(bench)
    assert column(table, "difference")[:2] == ["1.1e-05, **missed**", "1.0e-03"]
    assert "MobileNetV1 at 90 %, float32 (difference 1.1e-05)" in table[2]


def test_networks_that_were_not_measured_are_named(bench):
    assert "Not measured: `lstm`." in export_tables.speed(bench)[2]
    assert "Not measured: `lstm`." in export_tables.sizes(bench)[2]
    del bench["labels"]["lstm"]
    assert "Not measured" not in export_tables.speed(bench)[2]


def test_the_table_of_sizes_has_goals_and_theory_of_the_files_that_compute_in_float32(bench):
    table = export_tables.sizes(bench)
    assert column(table, "file") == ["float32", "float16", "int8_weights"]
    assert column(table, "goal") == ["at most 2.75", "at most 1.83", "at most 1.65"]
    assert column(table, "this, MB") == ["2.750", "1.830, **missed**", "1.640"]
    assert table[1][2] == [
        "MobileNetV1",
        "90 %",
        "int8_weights",
        "16.910",
        "at most 1.65",
        "1.640",
        "10.3",
        "0.820",
        "1.400",
        "1.500",
    ]
    assert "Missed of 3 goals: MobileNetV1 at 90 %, float16 (1,830,001 bytes)." in table[2]


def test_sizes_without_a_goal_do_not_claim_to_have_met_one(bench):
    bench["records"][0]["method"] = "lstm"
    about = export_tables.sizes(bench)[2]
    assert "No goal is set for what was measured." in about and "are met" not in about
    assert "Not measured: `mobilenet_v1`." in about


def value(mean, sd=None):
    return {"mean": mean, "sd": sd}


def exported(name, top1, native, wasm):
    return {
        "name": name,
        "bytes": 2_500_000,
        "gzip_bytes": 900_000,
        "sparse_multiply_adds": 0.5,
        "native": {"median_ms": 5.0, "ratio": native},
        "wasm": {"median_ms": 20.0, "ratio": wasm},
        "top1": top1,
        "top5": 0.9,
    }


MOBILENET = {
    **ORIGIN,
    "labels": {"magnitude": "magnitude", "reconstruction": "reconstruction"},
    "settings": {"runs": 50, "calibration": 200, "weights": "w.npz", "images": "i.zip"},
    "rows": [
        {
            "method": m,
            "sparsity": s,
            "seeds": [0, 1],
            "top1": top1,
            "top5": top5,
            "top1_before_refresh": before,
        }
        for m, s, top1, top5, before in [
            ("dense", 0.0, value(0.826, 0.001), value(0.95, 0.002), value(0.826, 0.001)),
            ("magnitude", 0.8, value(0.12, 0.01), value(0.3, 0.0), value(0.001, 0.0)),
            ("reconstruction", 0.8, value(0.5, 0.02), value(0.75, 0.0), value(0.2, 0.0)),
        ]
    ],
    "records": [
        {"method": "dense", "sparsity": 0.0, "seed": 0, "top1": 0.825},
        {
            "method": "reconstruction",
            "sparsity": 0.8,
            "seed": 0,
            "top1": 0.51,
            "files": [exported("dense", 0.51, 1.0, 1.0), exported("int8", 0.4975, 2.0, 0.456)],
        },
        {"method": "reconstruction", "sparsity": 0.8, "seed": 1, "top1": 0.49},
    ],
}


def test_accuracies_come_in_panels_with_the_best_in_bold_and_the_dense_network_below():
    headings, rows, about = export_tables.mobilenet_accuracy(MOBILENET)
    assert headings == ["method", "80 %"]
    assert [row[0] for row in rows if not row[1]] == [
        "*top-1*",
        "*top-5*",
        "*top-1, batch normalization as before pruning*",
    ]
    assert rows[1:3] == [["magnitude", "12.00 ± 1.00"], ["reconstruction", "**50.00 ± 2.00**"]]
    assert rows[4][1] == "30.00 ± 0.00" and rows[8][1] == "**20.00 ± 0.00**"
    assert "top-1 82.60 ± 0.10, top-5 95.00 ± 0.20" in about and "200 of them" in about
    assert "weights in w.npz on the images of i.zip" in about
    assert "over 2 seeds" in about


def test_files_are_set_against_the_accuracy_of_keras_on_the_same_images():
    headings, rows, about = export_tables.mobilenet_files(MOBILENET)
    assert rows == [
        ["80 %", "dense", "51.00", "+0.00", "2.500", "0.900", "50.0%", "5", "1.00", "20", "1.00"],
        ["80 %", "int8", "49.75", "-1.25", "2.500", "0.900", "50.0%", "5", "2.00", "20", "0.46"],
    ]
    assert len(headings) == len(rows[0]) and "pruned by reconstruction, seed 0:" in about


@pytest.mark.parametrize(
    "make, run",
    [
        (export_tables.speed, BENCH),
        (export_tables.sizes, BENCH),
        (export_tables.mobilenet_accuracy, MOBILENET),
        (export_tables.mobilenet_files, MOBILENET),
    ],
)
def test_every_row_fits_its_headings_and_the_table_is_markdown(make, run):
    parts = make(run)
    assert {len(row) for row in parts[1]} == {len(parts[0])}
    lines = markdown.with_caption(parts).splitlines()
    assert len(lines) == len(parts[1]) + 4  # headings, rule, empty line, about
    assert {line.count(" | ") for line in lines[:-2]} == {len(parts[0]) - 1}
