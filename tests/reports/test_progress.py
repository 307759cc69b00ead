"""What is seen while long work is done: lines in logs, one moving line in notebooks."""

import io
import itertools
import logging
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfprune
from tfprune.support import long_work


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by 20 seconds whenever somebody looks."""
    ticks = itertools.count(0.0, 20.0)
    monkeypatch.setattr(long_work, "_now", lambda: next(ticks))


def _classifier():
    stack = [keras.layers.Dense(20, "relu"), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((6,)), *stack, keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    return model


def test_long_one_shot_pruning_tells_each_stage_in_a_line(data, clock, capfd):
    tfprune.one_shot(_classifier(), 0.8, "magnitude", data, "mse", stages=3)
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"stage {n} of 3" for n in (1, 2, 3)]
    assert lines[0].startswith("stage 1 of 3, 0.42, loss ") and lines[0].endswith(", 40 s left")
    assert lines[2].startswith("stage 3 of 3, 0.80, loss ") and lines[2].endswith(", done")


def test_quiet_or_quick_pruning_tells_nothing(data, clock, capfd, monkeypatch):
    tfprune.one_shot(_classifier(), 0.8, "magnitude", data, "mse", stages=3, verbose=False)
    monkeypatch.setattr(long_work, "_now", lambda: 0.0)
    tfprune.one_shot(_classifier(), 0.8, "fisher", data, "mse", stages=3)
    assert capfd.readouterr() == ("", "")


def test_a_log_gets_whole_lines_with_the_time_that_is_left(clock, capfd):
    with long_work.progress("Counting", total=3, quiet=False) as advance:
        advance()
        advance("Still counting", by=2)
    with long_work.progress("Waiting", quiet=False) as advance:
        advance()
    out, err = capfd.readouterr()
    assert err.splitlines()[0].startswith("Counting: 1 of 3, ") and err.count("left") == 2
    assert err.splitlines()[1] == "Still counting: 3 of 3, 0 s left"
    assert err.splitlines()[2] == "Waiting" and "\r" not in err and out == ""


def test_a_notebook_has_one_line_that_is_written_over_and_taken_away(clock, monkeypatch):
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stderr", stream)
    with long_work.progress("Counting", total=2, quiet=False) as advance:
        advance()
        advance("Done")
    first, second, blank, end = stream.getvalue().split("\r")[1:]
    assert first.startswith("Counting: 1 of 2") and second.rstrip() == "Done: 2 of 2, 0 s left"
    assert len(first) == len(second) == len(blank) and blank.strip() == end == ""
    assert "\n" not in stream.getvalue()


def test_our_passes_give_tensorflow_no_reason_to_warn_of_retracing(data, caplog):
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        for scorer in ("fisher", "woodfisher", "reconstruction", "taylor"):
            tfprune.one_shot(_classifier(), 0.8, scorer, data, "mse", stages=7, verbose=False)
        tfprune.sensitivity(_classifier(), data, verbose=False)
        assert [text for text in caplog.messages if "retracing" in text] == []
        function = tf.function(lambda x: x)
        for size in range(1, 12):
            function(np.zeros(size))
        assert any("retracing" in text for text in caplog.messages), "the test would see it"
    finally:
        logger.removeHandler(caplog.handler)
    assert logger.level <= logging.WARNING
