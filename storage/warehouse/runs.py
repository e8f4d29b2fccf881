"""Run records: one JSON file per run of a command, written when it starts and again when it ends."""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.storage.warehouse import atomic, lock

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from types import TracebackType

FOLDER = "runs"

Status = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True)
class RunRecord:
    """The stored record of one run."""

    id: str
    """Sorts by start time."""
    command: str
    settings: dict[str, Any]
    """The resolved settings, after flags, environment and files."""
    started: str
    """UTC, ISO 8601."""
    finished: str | None = None
    status: Status = "running"
    artefacts: list[str] = field(default_factory=list)
    """``noun/id`` of every artefact that it built or reused, in that order."""
    error: str | None = None
    pid: int = 0
    host: str = ""
    birth: str = ""
    """Start time of the process from the kernel; distinguishes it from a later process with the same id."""


class ActiveRun:
    """A run in progress. As a context manager it records whether the block finished, failed or was interrupted."""

    def __init__(self, root: Path, record: RunRecord, lock_timeout: float) -> None:
        self.record = record
        self._lock_timeout = lock_timeout
        self._folder = root / FOLDER

    def add(self, noun: str, artefact_id: str) -> None:
        """Add an artefact that this run built or reused; written to disk when the run ends."""
        name = f"{noun}/{artefact_id}"
        if name not in self.record.artefacts:
            self.record.artefacts.append(name)

    def finish(self) -> None:
        """Record that the run finished."""
        self._end("finished")

    def fail(self, error: str) -> None:
        """Record that the run failed, with the error message that the user saw."""
        self._end("failed", error)

    def interrupt(self) -> None:
        """Record that the run was interrupted."""
        self._end("interrupted")

    def _end(self, status: Status, error: str | None = None) -> None:
        self.record = replace(self.record, status=status, error=error, finished=_now())
        self.write()

    def write(self) -> None:
        """Write the record to disk.

        Raises
        ------
        WarehouseError
            If it cannot be written.
        """
        text = json.dumps(asdict(self.record), indent=2, ensure_ascii=False, sort_keys=True)
        with lock.locked(self._folder / ".lock", self._lock_timeout, f"the list of runs in {self._folder}"):
            atomic.remove_temporary_files(self._folder)
            atomic.write_bytes(self._folder / f"{self.record.id}.json", text.encode("utf-8", "surrogatepass"))

    def __enter__(self) -> ActiveRun:
        """Return the run."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Record how the block ended."""
        if error is None:
            self.finish()
        elif isinstance(error, Exception):
            self.fail(str(error) or type(error).__name__)
        else:
            self.interrupt()


def start(root: Path, command: str, settings: dict[str, Any], lock_timeout: float = 60.0) -> ActiveRun:
    """Write the record of a run that starts now.

    Parameters
    ----------
    lock_timeout : float
        Longest wait, in seconds, for another process that writes a run record.

    Raises
    ------
    WarehouseError
        If it cannot be written.
    """
    now = datetime.now(UTC)
    record = RunRecord(
        id=f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}",
        command=command,
        settings=settings,
        started=now.isoformat(timespec="microseconds"),
        pid=os.getpid(),
        host=socket.gethostname(),
        birth=_birth(os.getpid()) or "",
    )
    run = ActiveRun(root, record, lock_timeout)
    run.write()
    return run


def read_runs(root: Path, known: Container[str] = ()) -> tuple[list[RunRecord], list[str]]:
    """Return all runs, newest first, and a message for each record that cannot be read.

    A run recorded as running whose process no longer exists on this host is returned as interrupted.

    Parameters
    ----------
    known : container of str
        Ids of runs whose records are not read.
    """
    folder = root / FOLDER
    records: list[RunRecord] = []
    names, problems = run_ids(root)
    for path in (folder / f"{name}.json" for name in names if name not in known):
        try:
            record = RunRecord(**json.loads(path.read_bytes()))
            _check_types(record, path.stem)
            records.append(_with_current_status(record))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            problems.append(f"{path} cannot be read ({error}); delete it")
    return records, problems


def runs_with(root: Path, artefact: str) -> Iterator[RunRecord]:
    """Yield the runs that made or used an artefact (``noun/id``), newest first."""
    records, _ = read_runs(root)
    return (record for record in records if artefact in record.artefacts)


def run_ids(root: Path) -> tuple[list[str], list[str]]:
    """Return the id of every run by the name of its record, newest first, and a message if they cannot be listed."""
    folder = root / FOLDER
    try:
        names = sorted(os.listdir(folder), reverse=True)
    except OSError as error:
        # A folder that cannot be listed is not the same as no runs: garbage collection relies on the difference.
        absent = isinstance(error, FileNotFoundError | NotADirectoryError) and not os.path.lexists(folder)
        return [], [] if absent else [f"{folder} cannot be read ({error}); check its permissions and the disk"]
    return [name[: -len(".json")] for name in names if name[:1].isdigit() and name.endswith(".json")], []


def _check_types(record: RunRecord, name: str) -> None:
    """Raise TypeError for values that the catalog and garbage collection cannot rely on."""
    texts = (record.id, record.command, record.started, record.status, record.host, record.birth)
    optional = (record.finished, record.error)
    if not all(isinstance(one, str) for one in texts) or record.id != name:
        raise TypeError("a text of it is another value, or its id is not its name")
    if not all(one is None or isinstance(one, str) for one in optional) or not isinstance(record.pid, int):
        raise TypeError("a field of it has another type")
    if not isinstance(record.settings, dict) or not isinstance(record.artefacts, list):
        raise TypeError("its settings or artefacts have another type")
    if not all(isinstance(one, str) for one in record.artefacts):
        raise TypeError("an artefact of it is no text")


def _with_current_status(record: RunRecord) -> RunRecord:
    if record.status != "running" or record.host != socket.gethostname():
        return record
    return record if _birth(record.pid) == record.birth else replace(record, status="interrupted")


def _birth(pid: int) -> str | None:
    """Return the start time of the running process `pid` in clock ticks since boot, or None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _alive(pid)
    # The name in parentheses may itself contain spaces and parentheses, so the fields are counted after the last one.
    fields = stat[stat.rindex(")") + 1 :].split()
    return None if fields[0] == "Z" else fields[19]


def _alive(pid: int) -> str | None:
    """Return an empty string if a process exists, else None; for systems without /proc (macOS)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
