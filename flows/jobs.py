"""Starts model work as a process of its own, shows how it goes, and turns its end into ours.

The job folder is in the warehouse, so that a run that was cut off finds it again. Knows nothing of what a job computes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from curate.flows import progress
from curate.schemas.errors import CurateError, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_STOP = 300.0
"""How long a job may take to write its checkpoint after it was asked to stop."""


def run_job(folder: Path, stage: str) -> None:
    """Run the job in `folder` to its end, telling its steps as the stage named `stage`.

    A signal that ends this process asks the job to write a checkpoint first; so does the end of this process.

    Raises
    ------
    CurateError
        With the job's own sentence and exit code where it failed.
    KeyboardInterrupt
        Where it was asked to stop, after its checkpoint.
    """
    from curate.engines.job import ERROR, LOG, PROGRESS

    (folder / PROGRESS).unlink(missing_ok=True)
    with (folder / "output.log").open("ab") as output, _terminable():
        job = subprocess.Popen(
            [sys.executable, "-m", "curate.engines.job", str(folder), "--with-parent"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            _follow(job, folder / PROGRESS, stage)
        except BaseException:
            job.send_signal(signal.SIGTERM)
            _wait(job)
            raise
    if job.returncode == 0:
        return
    if job.returncode == 130:
        raise KeyboardInterrupt
    if (folder / ERROR).exists():
        told = json.loads((folder / ERROR).read_text("utf-8"))
        raise error_of(told["exit_code"], told["error"])
    last = (folder / "output.log").read_text("utf-8", errors="replace").strip().splitlines()
    raise CurateError(
        f"the job in {folder} ended with code {job.returncode} ({last[-1] if last else 'it said nothing'}); "
        f"see {folder / LOG}, and run the same command again to go on at its last checkpoint"
    )


def _follow(job: subprocess.Popen[bytes], path: Path, stage: str) -> None:
    """Tell the steps that the job notes until it ends: the first, the last, and one every ten seconds."""
    from curate.engines.job import step_line

    read, last, ended = 0, 0.0, False
    with progress.stage(stage):
        while not ended:
            ended = job.poll() is not None
            found, read = _entries(path, read)
            for entry in found:
                if "note" in entry:
                    progress.note(f"{stage}: {entry['note']}")
            entries = [entry for entry in found if "step" in entry]
            now = time.monotonic()
            if entries and (now - last >= SECONDS_BETWEEN_LINES or entries[-1]["step"] == entries[-1]["steps"]):
                progress.note(f"{stage}: {step_line(entries[-1], entries[-1]['steps'])}")
                last = now
            if not ended:
                time.sleep(SECONDS_BETWEEN_LOOKS)


def _entries(path: Path, read: int) -> tuple[list[dict[str, Any]], int]:
    """Return the whole lines of a file of JSON lines from byte `read`, and where they end."""
    if not path.exists():
        return [], read
    with path.open("rb") as file:
        file.seek(read)
        text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], read + len(whole)


def _wait(job: subprocess.Popen[bytes]) -> None:
    try:
        job.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()


@contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM end this process as Ctrl-C does, where this is the thread that may decide so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
