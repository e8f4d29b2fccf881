"""The parent's handle on one worker process: its socket, its current part, its results and its exit.

`curate.engines.workers.main` is the other end of the socket.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing import Pipe
from typing import IO, TYPE_CHECKING, Any

from curate.engines.workers.messages import as_error
from curate.schemas.errors import CurateError
from curate.schemas.thread_limits import as_environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    import pyarrow as pa

    IndexedBatch = tuple[int, pa.RecordBatch]
    """The number of a part, and its rows."""

SECONDS_TO_EXIT = 10.0
"""How long a worker may take to exit after its socket closed, before it is killed."""


@dataclass(eq=False)
class WorkerProcess:
    """A worker process and the socket to it; see `curate.engines.workers.messages`."""

    label: str
    """``worker 2 of 4 on cuda:1``."""
    device: str
    process: subprocess.Popen[bytes]
    connection: Connection
    output: IO[bytes]
    """What it printed; the last line explains most crashes."""
    current_part: int | None = None
    """Number of the part that it is computing."""
    parts_done: int = 0
    peak_memory: int = 0
    """Its largest resident set so far, in bytes."""

    def assign(self, batch: IndexedBatch) -> None:
        """Send it the next part to compute."""
        self.current_part = batch[0]
        self.send(batch)

    def send(self, message: object) -> None:
        """Send a message. A dead process is detected by the next `receive`, not here."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def receive(self) -> tuple[Any, ...]:
        """Return its next message, ``("ended",)`` if the process is gone."""
        try:
            message: tuple[Any, ...] = self.connection.recv()
        except (EOFError, OSError):
            return ("ended",)
        return message

    def failure(self, details: Sequence[Any]) -> CurateError:
        """Return the error of a failed worker.

        Parameters
        ----------
        details : sequence
            Exit code, message and traceback of a ``failed`` message; empty if the process died without one.
        """
        if details:
            return as_error(self.label, *details)
        code = self.process.wait()
        self.output.seek(0)
        printed = self.output.read().decode("utf-8", "replace").strip().splitlines()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        where = "while it loaded the models" if self.current_part is None else f"in part {self.current_part}"
        return CurateError(
            f"{self.label} {how} {where}{f' ({printed[-1]})' if printed else ''}; finished parts are kept, "
            "run the same command again to resume, with fewer --workers if memory ran out"
        )

    def stop(self) -> None:
        """Close the socket, which ends the worker, and wait for it; kill it if it does not exit in time."""
        self.connection.close()
        try:
            self.process.wait(SECONDS_TO_EXIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()


def start_worker(label: str, device: str, threads: int) -> WorkerProcess:
    """Start a worker process with `threads` CPU threads; it waits for its first message, the task and its device."""
    parent_end, worker_end = Pipe()
    # A file rather than a pipe: a pipe that nobody reads would block the worker once it is full.
    output = tempfile.TemporaryFile()
    command = [sys.executable, "-m", "curate.engines.workers.main", str(worker_end.fileno())]
    environment = os.environ | as_environment(threads)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[worker_end.fileno()],
            env=environment,
        )
    finally:
        # Closed here, the worker's own copy is the only one left, so that its death closes the connection.
        worker_end.close()
    return WorkerProcess(label, device, process, parent_end, output)
