"""Jobs, and a results file that survives a kill.

A job is one (method, sparsity, seed). Its record is in the results file as soon as it is done, so
that an experiment which is stopped and started again goes on where it was.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.lab.measuring import machine
from tfprune.support.files import replacing, require_writable

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Job:
    """One run.

    Args:
        method: its name.
        sparsity: fraction of zeros, in [0, 1).
        seed: of all that is random in it.
        options: the method's options as plain values; a record made with others is refused.
        seconds: how long it is expected to take before any job has been timed.
    """

    method: str
    sparsity: float
    seed: int
    options: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    seconds: float = dataclasses.field(default=1.0, compare=False)

    @property
    def key(self) -> dict[str, Any]:
        """What identifies the job among the records."""
        return {"method": self.method, "sparsity": self.sparsity, "seed": self.seed}

    def __str__(self) -> str:
        return f"{self.method} at {self.sparsity:g}, seed {self.seed}"


class ResultsFile:
    """Records of finished jobs in a JSON file, which is whole after each of them.

    Args:
        path: the file; what it holds already is kept.
        settings: plain values that all records share, versions among them.
        summarize: records -> the other entries of the file (command, rows, ...).

    Raises:
        ValueError: if the file cannot be written, is damaged, or was made with other settings.
    """

    def __init__(
        self,
        path: Path,
        settings: dict[str, Any],
        summarize: Callable[[list[Record]], dict[str, Any]],
    ):
        self.path = path
        self.records: list[Record] = []
        self._settings = _as_stored(settings)
        self._summarize = summarize
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"`--out` must be in a writable folder. Received: {path} ({error.strerror})"
            ) from error
        require_writable(path, name="--out")
        if path.exists():
            self.records = self._read()

    def _read(self) -> list[Record]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            settings, records = content["settings"], content["records"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path} is no results file of this experiment.") from error
        names = sorted({*settings, *self._settings})
        changed = [n for n in names if settings.get(n) != self._settings.get(n)]
        if changed:
            values = "; ".join(
                f"{n} {settings.get(n)!r} there, {self._settings.get(n)!r} here" for n in changed
            )
            raise ValueError(f"{self.path} was made with other settings ({values}); use another.")
        return records

    def find(self, job: Job) -> Record | None:
        """Return the record of a job, None if it has not been run.

        Raises:
            ValueError: if it has been run with other options.
        """
        for record in self.records:
            if job.key.items() <= record.items():
                if record["options"] != _as_stored(job.options):
                    raise ValueError(
                        f"{self.path} has {job} with other options ({record['options']} there, "
                        f"{job.options} here); use another file."
                    )
                return record
        return None

    def add(self, job: Job, values: dict[str, Any]) -> None:
        """Add the record of a finished job and write the file."""
        self.records.append({**job.key, "options": _as_stored(job.options), **values})
        self.save()

    def save(self) -> None:
        """Write the file, whole or not at all."""
        content = {
            **self._summarize(self.records),
            "machine": machine(),
            "settings": self._settings,
            "records": self.records,
        }
        with replacing(self.path, name="--out") as new:
            Path(new).write_text(one_line_each(content), encoding="utf-8")


def _as_stored(values: dict[str, Any]) -> Any:
    """Return the values as they come back from the file: tuples become lists."""
    return json.loads(json.dumps(values))


def one_line_each(content: dict[str, Any]) -> str:
    """Return JSON in which every entry, and every element of a list of entries, has one line.

    Example:
        >>> print(one_line_each({"a": 1, "b": [{"c": 2}, {"c": 3}]}), end="")
        {
         "a": 1,
         "b": [
          {"c": 2},
          {"c": 3}
         ]
        }
    """
    parts = []
    for name, value in content.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
