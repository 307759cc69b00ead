"""The table of what a training step of the LSTM language models takes, in three ways."""

from typing import Any

from scripts.lab.tables import Table, versions
from scripts.readme.markdown import machine

_GOAL = 1.3  # Keras / ours in float32


def language_steps(plain: dict[str, Any], mixed: dict[str, Any]) -> Table:
    """Return headings, rows and a line about the runs.

    Args:
        plain: results of `scripts.bench.language.lstm_step`.
        mixed: results of `scripts.bench.language.lstm_mixed`.
    """
    headings = ["units", "step", "processor ms", "words a second", "times as fast"]
    rows = []
    for units, found in plain["widths"].items():
        missed = ", **missed**" if found["cpu_ratio"] < _GOAL else ""
        rows += [
            _row(units, "TensorFlow, Keras's loop and loss", found, "keras", ""),
            _row(units, "TensorFlow, ours", found, "ours", f"{found['cpu_ratio']:.2f}{missed}"),
        ]
    for units, found in mixed["widths"].items():
        rows += [
            _row(units, "JAX, ours", found, "float32", ""),
            _row(units, "JAX, in bfloat16", found, "bfloat16", f"{found['cpu_ratio']:.2f}"),
        ]
    about = (
        f"Goal of ours beside Keras's: {_GOAL:g}. Both sides of a pair in turns. "
        f"`{plain['command']}` and `{mixed['command']}`, on {machine(mixed)}; {versions(plain)}; "
        f"jax {mixed['versions']['jax']}."
    )
    return headings, rows, about


def _row(units: str, name: str, found: dict[str, Any], side: str, ratio: str) -> list[str]:
    milliseconds = f"{found['cpu_ms_a_step'][side]:.1f}"
    return [units, name, milliseconds, f"{found['words_a_cpu_second'][side]:,}", ratio]
