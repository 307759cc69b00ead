"""scripts/lab/tables.py and one_shot_plots.py, on results written by hand."""

import json

import numpy as np
from matplotlib.figure import Figure

from scripts.lab import tables
from scripts.studies import one_shot_plots


def value(mean, sd=None):
    return {"mean": mean, "sd": sd}


ONE_SHOT = {
    "command": "python x",
    "versions": {"tfprune": "1"},
    "machine": {"cores": 2, "processor": "cpu"},
    "settings": {"images": 10_000, "examples": 1000},
    "labels": {"magnitude": "magnitude", "woodfisher_9": "WF 9", "fisher": "not run"},
    "elsewhere": {
        "label": "elsewhere",
        "dense": 0.9,
        "rows": {"magnitude": {"0.5": 0.853, "0.7": 0.6}, "woodfisher_9": {"0.9": 0.3}},
    },
    "rows": [
        {"method": m, "sparsity": s, "seeds": [0, 1], "accuracy_before": b, "accuracy_after": a}
        for m, s, b, a in [
            ("dense", 0.0, value(0.9173, 0.0), value(0.9, 0.001)),
            ("magnitude", 0.9, value(0.1, 0.0), value(0.2, 0.01)),
            ("magnitude", 0.5, value(0.85, 0.0), value(0.86, 0.02)),
            ("woodfisher_9", 0.9, value(0.4, 0.03), value(0.1, 0.01)),
        ]
    ],
}


def test_the_one_shot_table_has_both_accuracies_in_per_cent_and_the_best_in_bold():
    headings, rows, about = tables.one_shot(ONE_SHOT)
    assert headings == ["method", "50 %", "90 %"]
    assert rows[1] == ["magnitude", "**85.00 ± 0.00**", "10.00 ± 0.00"]
    assert rows[2] == ["WF 9", "", "**40.00 ± 3.00**"]
    assert rows[4] == ["magnitude", "**86.00 ± 2.00**", "**20.00 ± 1.00**"]
    assert rows[5] == ["WF 9", "", "10.00 ± 1.00"]
    assert rows[7:] == [["magnitude", "85.3", ""], ["WoodFisher, 9 stages", "", "30.0"]]
    assert "10,000 images" in about and "Dense 91.73 ± 0.00" in about and "2 seeds" in about


def test_figures_that_miss_those_measured_elsewhere_are_named():
    assert tables.comparison(ONE_SHOT) == (
        "As pruned, below the figures measured elsewhere: magnitude at 50 % (85.0, there 85.3)."
    )
    better = json.loads(json.dumps(ONE_SHOT))
    better["rows"][2]["accuracy_before"]["mean"] = 0.853
    assert "is missed, of 2 compared" in tables.comparison(better)


def test_a_method_in_steps_stands_for_one_in_stages_that_was_not_run():
    run = json.loads(
        json.dumps(ONE_SHOT).replace('"method": "woodfisher_9"', '"method": "woodfisher_steps"')
    )
    run["labels"] = {"magnitude": "magnitude", "woodfisher_steps": "WF steps"}
    run["elsewhere"]["rows"] = {"woodfisher_9": {"0.9": 0.41, "0.8": 0.9}}
    assert tables.comparison(run) == (
        "As pruned, below the figures measured elsewhere: WF steps at 90 % (40.0, there 41.0)."
    )
    run["elsewhere"]["rows"] = {"woodfisher_joint_9": {"0.9": 0.41}}
    assert "None of the figures" in tables.comparison(run)


def test_the_gradual_table_states_checkpoint_and_further_training():
    run = {
        **{key: ONE_SHOT[key] for key in ("command", "versions", "machine")},
        "settings": {"weights": 1234, "steps": 1407, "batch_size": 128},
        "labels": {"magnitude": "magnitude", "taylor": "Taylor"},
        "rows": [
            {"method": m, "sparsity": s, "seeds": [0], "accuracy": value(a)}
            for m, s, a in [
                ("checkpoint", 0.0, 0.88),
                ("dense", 0.0, 0.9),
                ("magnitude", 0.98, 0.7),
                ("taylor", 0.98, 0.8),
            ]
        ],
    }
    headings, rows, about = tables.gradual(run)
    assert headings == ["method", "98 %"]
    assert rows == [["magnitude", "70.00"], ["Taylor", "**80.00**"]]
    assert "(88.00)" in about and "gets to 90.00" in about and "1 seed;" in about


def test_several_machines_and_versions_are_each_named_once():
    small, large = {"cores": 2, "processor": "a"}, {"cores": 16, "processor": "b"}
    run = {
        "rows": [{"seeds": [0, 1]}],
        "settings": {},
        "machine": [small, large, {**small, "system": "Linux"}],
        "versions": [{"keras": "3", "jax": "1"}, {"keras": "3", "tensorflow": "2", "jax": "2"}],
    }
    assert tables.environment(run) == (
        "mean ± standard deviation over 2 seeds; on 2 a cores and 16 b cores; "
        "keras 3, jax 1 and 2, tensorflow 2"
    )


def test_the_plot_has_a_line_a_method_with_bars_of_one_standard_deviation():
    axes = Figure().add_subplot()
    one_shot_plots.draw(axes, ONE_SHOT, "accuracy_after")
    labels = [container.get_label() for container in axes.containers]
    assert labels == ["magnitude", "WF 9"]
    line, _, (bars,) = axes.containers[0].lines
    assert line.get_xydata().tolist() == [[0.5, 0.86], [0.9, 0.2]]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[0.84, 0.88], [0.19, 0.21]])
    assert [
        round(float(line.get_ydata()[0]), 3)
        for line in axes.lines
        if len(line.get_xdata()) == 2 and line.get_linestyle() == ":"
    ] == [0.9]
