"""scripts/bench/language/lstm_mixed.py: both sides make the same steps, but for rounding."""

import pytest

from scripts.bench.language import lstm_mixed
from tests.support.jax_session import run_on_jax


def test_both_sides_learn_the_same_and_are_timed():
    run_on_jax(
        """
        from scripts.bench.language import lstm_mixed
        lstm_mixed.VOCABULARY, lstm_mixed.STEPS = 50, 4
        found = lstm_mixed.compared(6, 0.5, rounds=2)
        one, other = (found["loss"][side] for side in lstm_mixed.SIDES)
        assert 3 < one < 5 and abs(one - other) < 1e-2 * one, found
        times = found["cpu_ms_a_step"]
        assert abs(found["cpu_ratio"] - times["float32"] / times["bfloat16"]) < 0.1, found
        """
    )


@pytest.mark.parametrize("value", ["0", "x", "1.5"])
def test_widths_that_are_none_are_refused_in_one_line(value, capsys):
    with pytest.raises(SystemExit):
        lstm_mixed.parse(["--units", value])
    assert f"Received: {value}" in capsys.readouterr().err.splitlines()[-1]
