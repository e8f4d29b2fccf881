"""Starts model work as a process of its own, shows how it goes, and turns its end into ours.

The job folder is in the warehouse, so that a run that was cut off finds it again. Knows nothing of what a job computes.
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

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_STOP = 300.0
"""How long a job may take to write its checkpoint after it was asked to stop."""


def run_job(folder: Path, stage: str, processes: int = 1) -> None:
    """Run the job in `folder` to its end, telling its steps as the stage named `stage`.

    A signal that ends this process asks the job to write a checkpoint first; so does the end of this process.

    Parameters
    ----------
    folder : Path
    stage : str
    processes : int
        Processes that share every step, started by ``accelerate launch`` where they are several.

    Raises
    ------
    CurateError
        With the job's own sentence and exit code where it failed.
    KeyboardInterrupt
        Where it was asked to stop, after its checkpoint.
    """
    from curate.engines.job import ERROR, LOG, OUTPUT, PROGRESS

    for left in (PROGRESS, ERROR):
        (folder / left).unlink(missing_ok=True)
    with (folder / OUTPUT).open("ab") as output, _terminable():
        job = subprocess.Popen(
            [*launcher(processes), "-m", "curate.engines.job", str(folder), "--for", str(os.getpid())],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(processes),
            # Ctrl-C reaches every process of a session; a launcher that hears it twice leaves its own behind.
            start_new_session=processes > 1,
        )  # fmt: skip
        try:
            _follow(job, folder / PROGRESS, stage)
        except BaseException:
            job.send_signal(signal.SIGTERM)
            _wait(job)
            raise
    if job.returncode == 0:
        return
    # A launcher has a code of its own for everything that went wrong.
    told = json.loads((folder / ERROR).read_text("utf-8")) if (folder / ERROR).exists() else None
    code = int(told["exit_code"]) if told else job.returncode
    if code == 130:
        raise KeyboardInterrupt
    if told:
        raise error_of(code, told["error"])
    said = (folder / OUTPUT).read_text("utf-8", errors="replace").splitlines()
    last = next((line.strip() for line in reversed(said) if any(map(str.isalnum, line))), "it said nothing")
    raise CurateError(
        f"the job in {folder} ended with code {job.returncode} ({last}); "
        f"see {folder / LOG}, and run the same command again to go on at its last checkpoint"
    )


def launcher(processes: int) -> list[str]:
    """Return the command that starts a module in so many processes on this machine, which meet at a free port.

    ``--multi_gpu`` is what makes `accelerate` start several; whether they use GPUs is the job's business.
    """
    if processes == 1:
        return [sys.executable]
    how = f"--multi_gpu --num_processes {processes} --num_machines 1 --main_process_port 0"
    plain = "--mixed_precision no --dynamo_backend no"
    return [sys.executable, "-m", "accelerate.commands.launch", *how.split(), *plain.split()]


def _environment(processes: int) -> dict[str, str]:
    """Return the environment of the job: not the part of another launch, and with time to write a checkpoint."""
    own = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    if processes == 1:
        return own
    threads = max(1, (os.cpu_count() or 1) // processes)
    return {"OMP_NUM_THREADS": str(threads), **own, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(int(SECONDS_TO_STOP) - 10)}


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
