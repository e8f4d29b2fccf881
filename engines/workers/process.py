"""One worker process seen from the process that started it: what it has in hand, what it says, and how it ended.

Knows nothing of what is worked on; `worker` is the other side.
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

from curate.schemas.errors import CurateError, error_of
from curate.schemas.thread_limits import as_environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    import pyarrow as pa

    Part = tuple[int, pa.RecordBatch]

SECONDS_TO_END = 10.0


@dataclass(eq=False)
class Hand:
    """A process and the socket to it; see `worker.Worker` for its messages."""

    label: str
    """``worker 2 of 4 on cuda:1``."""
    device: str
    process: subprocess.Popen[bytes]
    connection: Connection
    output: IO[bytes]
    """What it printed: its last line says why it died, if it could say so."""
    part: int | None = None
    """The part that it has in work."""
    done: int = 0
    peak: int = 0
    """Its largest resident set so far, in bytes."""

    def take(self, given: Part) -> None:
        """Put a part into its hands."""
        self.part = given[0]
        self.say(given)

    def say(self, message: object) -> None:
        """Send a message; where the process is gone, its answer will tell."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def answer(self) -> tuple[Any, ...]:
        """Return its next message, ``("ended",)`` where there will be none any more."""
        try:
            message: tuple[Any, ...] = self.connection.recv()
        except (EOFError, OSError):
            return ("ended",)
        return message

    def failure(self, told: Sequence[Any]) -> CurateError:
        """Return the error of a process that failed, with what it told if it could."""
        if told:
            code, sentence, trace = told
            error = error_of(code, f"{self.label}: {sentence}")
            error.add_note(trace)
            return error
        code = self.process.wait()
        self.output.seek(0)
        said = self.output.read().decode("utf-8", "replace").strip().splitlines()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        where = "while it loaded the models" if self.part is None else f"in part {self.part}"
        return CurateError(
            f"{self.label} {how} {where}{f' ({said[-1]})' if said else ''}; finished parts are kept, "
            "run the same command again to go on, with fewer --workers if memory ran out"
        )

    def end(self) -> None:
        """Wait until it is gone; its end of the socket tells it to go."""
        self.connection.close()
        try:
            self.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()


def hire(label: str, device: str, threads: int) -> Hand:
    """Start a process with a number of CPU threads; it waits for its first message, the task and its device."""
    here, there = Pipe()
    output = tempfile.TemporaryFile()
    command = [sys.executable, "-m", "curate.engines.workers.main", str(there.fileno())]
    environment = os.environ | as_environment(threads)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[there.fileno()], env=environment
        )
    finally:
        # With this end closed, the process's own is the last one: its death is the end of the conversation.
        there.close()
    return Hand(label, device, process, here, output)
