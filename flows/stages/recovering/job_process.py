"""Runs a training job in its own process, shows its progress, and maps its exit to a result or an error.

The job folder is in the warehouse, so that an interrupted run finds it again.
"""

from __future__ import annotations

import json
import os
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

POLL_SECONDS = 0.2
SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_STOP = 300.0
"""Time for a job to write its checkpoint after SIGTERM; then it is killed."""


def run_job(folder: Path, stage: str, processes: int = 1) -> None:
    """Run the job in `folder` to its end, reporting its steps as the stage `stage`.

    A signal that ends this process, or its death, makes the job write a checkpoint and stop.

    Parameters
    ----------
    folder : Path
    stage : str
    processes : int
        Number of processes that share every step; more than one are started by ``accelerate launch``.

    Raises
    ------
    CurateError
        If the job failed, with its message and exit code.
    KeyboardInterrupt
        If it was stopped by a signal, after it has written its checkpoint.
    """
    from curate.engines.job import ERROR, OUTPUT, PROGRESS

    # Files of an earlier attempt would be taken for those of this one.
    for name in (PROGRESS, ERROR):
        (folder / name).unlink(missing_ok=True)
    with (folder / OUTPUT).open("ab") as output, _terminable():
        job = subprocess.Popen(
            [*launcher(processes), "-m", "curate.engines.job", str(folder), "--for", str(os.getpid())],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(processes),
            # Ctrl-C is sent to every process of a session; a launcher that gets it twice leaves its children running.
            start_new_session=processes > 1,
        )  # fmt: skip
        try:
            _follow(job, folder / PROGRESS, stage)
        except BaseException:
            job.send_signal(signal.SIGTERM)
            _wait(job)
            raise
    if job.returncode != 0:
        raise failure(folder, job.returncode)


def failure(folder: Path, returncode: int) -> BaseException:
    """Return the exception for a job that ended with an exit code other than 0."""
    from curate.engines.job import ERROR, LOG, OUTPUT

    # A launcher has its own exit code for any failure of its processes; the job's own is in the error file.
    report = json.loads((folder / ERROR).read_text("utf-8")) if (folder / ERROR).exists() else None
    code = int(report["exit_code"]) if report else returncode
    if code == 130:
        return KeyboardInterrupt()
    if report:
        return error_of(code, report["error"])
    lines = (folder / OUTPUT).read_text("utf-8", errors="replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if any(map(str.isalnum, line))), "no output")
    return CurateError(
        f"the job in {folder} ended with code {returncode} ({last}); "
        f"see {folder / LOG}, and run the same command again to resume from its last checkpoint"
    )


def launcher(processes: int) -> list[str]:
    """Return the command that starts a module in `processes` processes of this machine, connected by a free port.

    ``--multi_gpu`` makes `accelerate` start several processes; the job decides whether they use GPUs.
    """
    if processes == 1:
        return [sys.executable]
    options = f"--multi_gpu --num_processes {processes} --num_machines 1 --main_process_port 0"
    # Precision and compilation are settings of the job; a saved configuration of `accelerate` must not change them.
    defaults = "--mixed_precision no --dynamo_backend no"
    return [sys.executable, "-m", "accelerate.commands.launch", *options.split(), *defaults.split()]


def _environment(processes: int) -> dict[str, str]:
    """Return the environment of the job: without variables of another launch, and with time to write a checkpoint."""
    own = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    if processes == 1:
        return own
    threads = max(1, (os.cpu_count() or 1) // processes)
    return {"OMP_NUM_THREADS": str(threads), **own, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(int(SECONDS_TO_STOP) - 10)}


def _follow(job: subprocess.Popen[bytes], path: Path, stage: str) -> None:
    """Report the job's notes and its steps until it ends: the first, the last, and one every ten seconds."""
    from curate.engines.job import step_line

    read, last, ended = 0, 0.0, False
    with progress.stage(stage):
        while not ended:
            # Polled before reading, so that the entries written just before the end are still reported.
            ended = job.poll() is not None
            entries, read = _entries(path, read)
            for entry in entries:
                if "note" in entry:
                    progress.note(f"{stage}: {entry['note']}")
            steps = [entry for entry in entries if "step" in entry]
            now = time.monotonic()
            if steps and (now - last >= SECONDS_BETWEEN_LINES or steps[-1]["step"] == steps[-1]["steps"]):
                progress.note(f"{stage}: {step_line(steps[-1], steps[-1]['steps'])}")
                last = now
            if not ended:
                time.sleep(POLL_SECONDS)


def _entries(path: Path, read: int) -> tuple[list[dict[str, Any]], int]:
    """Return the complete lines of a file of JSON lines from byte `read` on, and the byte at which they end."""
    if not path.exists():
        return [], read
    with path.open("rb") as file:
        file.seek(read)
        text = file.read()
    # The job may be writing the last line right now.
    complete = text[: text.rfind(b"\n") + 1]
    return [json.loads(line) for line in complete.splitlines()], read + len(complete)


def _wait(job: subprocess.Popen[bytes]) -> None:
    try:
        job.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()


@contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt in this process, as Ctrl-C does."""
    # Only the main thread may set signal handlers; a Prefect task may run in another one.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
