"""Jobs, and a results file that survives a kill.

A job is one (method, sparsity, seed). Its record is in the results file as soon as it is done, so
that an experiment which is stopped and started again goes on where it was.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.lab.folders import locked, make_folder_of, require_place
from scripts.lab.measuring import machine
from tfprune.support.files import replacing

Record = dict[str, Any]
_KEY = ("method", "sparsity", "seed")


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
        return {name: getattr(self, name) for name in _KEY}

    def __str__(self) -> str:
        return f"{self.method} at {self.sparsity:g}, seed {self.seed}"


class ResultsFile:
    """Records of finished jobs in a JSON file, which is whole after each of them.

    Several processes may add to one file: what others have added is kept when it is written. Its
    "machine" and "versions" are those of all records, a list where these are of several.

    Args:
        path: the file; what it holds already is kept.
        settings: plain values that all records share, versions among them.
        summarize: records -> the other entries of the file (command, rows, ...).

    Attributes:
        records: of the file as it was last read or written; others take their place on `save`.

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
        self._settings = as_stored(settings)
        self._summarize = summarize
        require_place(path, name="--out")
        self._known: dict[str, Any] = {"records": []}  # the file, as last read or written
        if path.exists():
            self._known = self._read()
        self.records: list[Record] = [*self._known["records"]]

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            settings = dict(content["settings"])
            if not all({*_KEY, "options"} <= record.keys() for record in content["records"]):
                raise ValueError("a record does not say of which job it is")
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path} is no results file of this experiment.") from error
        names = sorted({*settings, *self._settings})
        changed = [n for n in names if settings.get(n) != self._settings.get(n)]
        if changed:
            values = "; ".join(
                f"{n} {settings.get(n)!r} there, {self._settings.get(n)!r} here" for n in changed
            )
            raise ValueError(f"{self.path} was made with other settings ({values}); use another.")
        return content

    def find(self, job: Job) -> Record | None:
        """Return the record of a job, None if it has not been run.

        Raises:
            ValueError: if it has been run with other options.
        """
        for record in self.records:
            if job.key.items() <= record.items():
                if record["options"] != as_stored(job.options):
                    raise ValueError(
                        f"{self.path} has {job} with other options ({record['options']} there, "
                        f"{job.options} here); use another file."
                    )
                return record
        return None

    def add(self, job: Job, values: dict[str, Any]) -> None:
        """Add the record of a finished job and write the file.

        Raises:
            ValueError: if there is one, here or from another process that found other values, or
                if the file cannot be written; the message has the record.
        """
        record = as_stored({**job.key, "options": job.options, **values})
        try:
            if self.find(job) is not None:
                raise ValueError(f"{self.path} has {job} already.")
            self._write([*self.records, record])
        except ValueError as error:
            raise ValueError(f"{error} Not added: {json.dumps(record)}") from error

    def save(self) -> None:
        """Write the file, whole or not at all."""
        self._write(self.records)

    def _write(self, records: list[Record]) -> None:
        make_folder_of(self.path, name="--out")
        with locked(Path(os.path.realpath(self.path)).parent):
            there = self._read() if self.path.exists() else self._known
            kept, added = self._merged(as_stored(records), there["records"])
            summary = as_stored(self._summarize(kept + added))
            origin = {
                name: _origins(there.get(name), own, bool(kept), bool(added))
                for name, own in (("versions", summary.get("versions")), ("machine", machine()))
                if own is not None
            }
            content = {
                **summary,
                **origin,
                "settings": self._settings,
                "records": kept + added,
            }
            with replacing(self.path, name="--out") as new:
                Path(new).write_text(one_line_each(content), encoding="utf-8")
        self._known, self.records = content, kept + added

    def _merged(self, here: list[Record], there: list[Record]) -> tuple[list[Record], list[Record]]:
        """Return the records of the file that are to stay, and those of here that it lacks.

        Both sides may have added or removed some since the file was last read or written.
        """
        before = {*map(json.dumps, self._known["records"])}
        removed = before - {*map(json.dumps, here)}
        kept = [record for record in there if json.dumps(record) not in removed]
        added = []
        for record in here:
            if json.dumps(record) in before:
                continue
            key = {name: record[name] for name in _KEY}
            other = next((own for own in kept if key.items() <= own.items()), None)
            if other is None:
                added.append(record)
            elif _found(other) != _found(record):
                raise ValueError(
                    f"{self.path} has got {Job(**key)} from another process, which found other "
                    "values or had other options; that record stays."
                )
        return kept, added


def _found(record: Record) -> str:
    """Return what a record says of its job, but for the time that it took."""
    others = {*_KEY, "seconds", "cpu_seconds"}
    return json.dumps({k: v for k, v in record.items() if k not in others}, sort_keys=True)


def _origins(there: Any, own: Any, kept: bool, added: bool) -> Any:
    """Return where the records of a file are from: one entry, or a list of several.

    Args:
        there: entry, or entries, of the file.
        own: entry of what is added.
        kept: whether records of the file stay.
        added: whether records are added.
    """
    if there is None or added and not kept:
        return own
    if not added:
        return there
    found = there if isinstance(there, list) else [there]
    found = found if own in found else [*found, own]
    return found[0] if len(found) == 1 else found


def as_stored(values: Any) -> Any:
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
