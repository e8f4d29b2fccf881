"""What was run: one small JSON file a run, written when it starts and again when it ends.

Knows nothing of stages; whoever runs them says what they made.
"""

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
    from types import TracebackType

FOLDER = "runs"

LOCK_TIMEOUT = 60.0
"""Longest wait, in seconds, for others who note a run at the same moment."""

Status = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True)
class RunRecord:
    """What is known of one run."""

    id: str
    """Sorts by the time of the start."""
    command: str
    settings: dict[str, Any]
    """The resolved settings, after flags, environment and files."""
    started: str
    """UTC, ISO 8601."""
    finished: str | None = None
    status: Status = "running"
    artefacts: list[str] = field(default_factory=list)
    """``noun/id`` of every artefact that it made or found done, in that order."""
    error: str | None = None
    pid: int = 0
    host: str = ""
    birth: str = ""
    """When the kernel started that process, so that a later process with the same number is not taken for it."""


class Run:
    """A run under way. As a context manager it notes by itself how the block ended."""

    def __init__(self, root: Path, record: RunRecord) -> None:
        self.record = record
        self._folder = root / FOLDER

    def add(self, noun: str, artefact_id: str) -> None:
        """Note an artefact that this run made or found done; kept on disk when the run ends."""
        name = f"{noun}/{artefact_id}"
        if name not in self.record.artefacts:
            self.record.artefacts.append(name)

    def finish(self) -> None:
        """Note that the run did what it was asked for."""
        self._end("finished")

    def fail(self, error: str) -> None:
        """Note that the run failed, with the sentence that the user saw."""
        self._end("failed", error)

    def interrupt(self) -> None:
        """Note that the run was stopped from outside."""
        self._end("interrupted")

    def _end(self, status: Status, error: str | None = None) -> None:
        self.record = replace(self.record, status=status, error=error, finished=_now())
        self.write()

    def write(self) -> None:
        """Put the record on disk as it stands.

        Raises
        ------
        WarehouseError
            If the disk refuses.
        """
        text = json.dumps(asdict(self.record), indent=2, ensure_ascii=False, sort_keys=True)
        with lock.locked(self._folder / ".lock", LOCK_TIMEOUT, f"the list of runs in {self._folder}"):
            atomic.clean(self._folder)
            atomic.write_bytes(self._folder / f"{self.record.id}.json", text.encode("utf-8", "surrogatepass"))

    def __enter__(self) -> Run:
        """Return the run itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Note how the block ended: well, with an error, or stopped from outside."""
        if error is None:
            self.finish()
        elif isinstance(error, Exception):
            self.fail(str(error) or type(error).__name__)
        else:
            self.interrupt()


def start(root: Path, command: str, settings: dict[str, Any]) -> Run:
    """Write the record of a run that starts now.

    Raises
    ------
    WarehouseError
        If the disk refuses.
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
    run = Run(root, record)
    run.write()
    return run


def read_runs(root: Path) -> tuple[list[RunRecord], list[str]]:
    """Return all runs, newest first, and a sentence for each record that cannot be read.

    A run that says it is running but whose process is gone from this host is returned as interrupted.
    """
    folder = root / FOLDER
    records: list[RunRecord] = []
    problems: list[str] = []
    try:
        names = sorted(os.listdir(folder), reverse=True)
    except OSError as error:
        # A folder that cannot be listed is not the same as no runs: garbage collection relies on the difference.
        absent = isinstance(error, FileNotFoundError | NotADirectoryError) and not os.path.lexists(folder)
        return [], [] if absent else [f"{folder} cannot be read ({error}); check its permissions and the disk"]
    for path in (folder / name for name in names if name[:1].isdigit() and name.endswith(".json")):
        try:
            records.append(_as_it_is(RunRecord(**json.loads(path.read_bytes()))))
        except (OSError, ValueError, TypeError) as error:
            problems.append(f"{path} cannot be read ({error}); delete it")
    return records, problems


def _as_it_is(record: RunRecord) -> RunRecord:
    if record.status != "running" or record.host != socket.gethostname():
        return record
    return record if _birth(record.pid) == record.birth else replace(record, status="interrupted")


def _birth(pid: int) -> str | None:
    """Return a mark of the living process `pid`, or None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _alive(pid)
    fields = stat[stat.rindex(")") + 1 :].split()
    return None if fields[0] == "Z" else fields[19]


def _alive(pid: int) -> str | None:
    """Say whether a process lives where there is no /proc (macOS)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
