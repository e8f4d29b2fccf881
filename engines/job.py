"""Runs a recovery job in a process of its own: ``python -m curate.engines.job JOB_DIR``.

Works the same on this machine, under an orchestrator, and on a remote machine that has torch and little else. Input:
``job.json``, ``rows.parquet`` and ``heldout.parquet``. Output: the folder named in ``job.json``, with the model, its
report and metrics; ``job.log``; ``progress.jsonl``, a line per step or layer; and ``error.json`` after a failure.
SIGTERM and SIGINT write a checkpoint and exit with 130; the same command resumes there. A job folder is used by one
process at a time, or by those that ``accelerate launch`` started together, which share every step.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from curate.engines.library_output import silence_libraries
from curate.schemas.errors import CurateError, InputError, WarehouseError, first_line
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from curate.engines.recover import RecoveryContext
    from curate.engines.recover.training.processes import ProcessGroup

JOB, ROWS, HELDOUT = "job.json", "rows.parquet", "heldout.parquet"
LOG, PROGRESS, ERROR, WORK = "job.log", "progress.jsonl", "error.json", "work"
OUTPUT = "output.log"
"""Standard output and error of the processes, if `curate.flows.stages.recovering.job_process` started them."""

SECONDS_BETWEEN_LINES = 10.0
LOCK_SECONDS = 60.0
"""How long to wait for a stopping process that is still writing its checkpoint."""


class Job:
    """One job folder: its description, its log and progress files, and whether it should stop.

    Parameters
    ----------
    folder : Path
    ancestor : int, optional
        Process id; the job stops when that process ends.
    """

    def __init__(self, folder: Path, ancestor: int | None = None) -> None:
        self.folder, self._ancestor, self._parent = folder, ancestor, os.getppid()
        self._stop_requested, self._last_logged = False, 0.0

    def request_stop(self, *_: object) -> None:
        """Stop after the current step; a signal handler."""
        self._stop_requested = True

    def should_stop(self) -> bool:
        """Return True after a signal, or if the process that this job belongs to, or its launcher, has ended."""
        if self._stop_requested or self._ancestor is None:
            return self._stop_requested
        # An orphan gets a new parent: that is how the death of a launcher shows.
        return os.getppid() != self._parent or not _is_alive(self._ancestor)

    def log(self, text: str) -> None:
        """Write one line to the log and to stderr."""
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}"
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        print(line, file=sys.stderr, flush=True)

    def on_step(self, entry: dict[str, Any], steps: int) -> None:
        """Record a finished step, and log it every ten seconds and at the end."""
        self._append_progress({**entry, "steps": steps})
        now = time.monotonic()
        if now - self._last_logged >= SECONDS_BETWEEN_LINES or entry["step"] == steps:
            self._last_logged = now
            self.log(step_line(entry, steps))

    def on_rows_read(self, done: int, rows: int) -> None:
        """Record and log the progress of the original's predictions."""
        self._note(f"original: {done} of {rows} rows read")

    def on_layer(self, done: int, layers: int) -> None:
        """Record and log a reconstructed layer."""
        self._note(f"layer {done} of {layers} reconstructed")

    def _note(self, text: str) -> None:
        self._append_progress({"note": text})
        self.log(text)

    def _append_progress(self, entry: dict[str, Any]) -> None:
        with (self.folder / PROGRESS).open("a", encoding="utf-8") as progress:
            progress.write(json.dumps(entry) + "\n")

    def fail(self, text: str, exit_code: int) -> None:
        """Record and log the error that ends the job; of several processes only the first to fail is recorded."""
        # Mode "x" creates the file or fails, in one step that no two processes can both win.
        with suppress(FileExistsError), (self.folder / ERROR).open("x", encoding="utf-8") as file:
            json.dump({"error": text, "exit_code": exit_code}, file)
            self.log(text)

    def run(self) -> None:
        """Run the recovery that ``job.json`` describes, together with the processes launched with this one."""
        description = self._read_description()
        # Imported here, since torch takes seconds and a missing or foreign job should fail at once.
        from curate.engines.recover import Observer, recover
        from curate.engines.recover.training.processes import join_group, leave_group

        group = join_group(*_process_index_and_count(), description["request"]["device"])
        if group.is_first:
            processes = f", {group.size} processes" if group.size > 1 else ""
            self.log(f"{description['kind']}: {description['model']}{processes}")
        report = recover(
            description["model"],
            _read_rows(self.folder / ROWS),
            description["out"],
            RecoveryRequest.from_json(description["request"]),
            heldout=_read_rows(self.folder / HELDOUT),
            original=description["original"],
            context=self._context(description, group),
            observer=Observer(self.on_step, self.on_layer, self.on_rows_read, self.should_stop),
        )
        leave_group()
        if group.is_first:
            out = description["out"]
            self.log(f"done: {report['method']}, {report['steps']} steps, {report['seconds']:.1f} s: {out}")

    def _context(self, description: dict[str, Any], group: ProcessGroup) -> RecoveryContext:
        from curate.engines.recover import RecoveryContext
        from curate.engines.recover.training.original_predictions import PredictionCache

        cache = description.get("library")
        return RecoveryContext(
            work=self.folder / WORK,
            template_digest=description["template_digest"],
            lineage=description["lineage"],
            cache=None if cache is None else PredictionCache.from_json(cache),
            group=group,
        )

    def _read_description(self) -> dict[str, Any]:
        path = self.folder / JOB
        try:
            description: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read ({error}); give the folder of a job") from error
        kind = description.get("kind")
        if kind != "recover":
            raise InputError(f"{path} has kind {kind!r}, which this version does not support; supported: recover")
        return description


def step_line(entry: dict[str, Any], steps: int) -> str:
    """Return one log line on a step: number, loss, tokens per second, and the time left at the speed of this step."""
    left = (steps - entry["step"]) * entry["seconds"]
    speed = entry["tokens"] / max(entry["seconds"], 1e-9)
    return (
        f"step {entry['step']} of {steps}: loss {entry['loss']:.4f}, {speed:,.0f} tokens/s, "
        f"{left / 60:.1f} min left" + ("" if entry["step"] < steps else ", trained")
    )


def _read_rows(path: Path) -> list[pa.RecordBatch]:
    """Return the rows of a Parquet file, an empty list if it does not exist."""
    if not path.exists():
        return []
    try:
        return list(pq.read_table(path, page_checksum_verification=True).to_batches())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); create the job again") from error


@contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, waiting up to `LOCK_SECONDS` for a process that is stopping.

    Raises
    ------
    WarehouseError
        When another process keeps the lock.
    """
    with (folder / ".lock").open("w") as file:
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise WarehouseError(
                        f"another process works on the job {folder}; wait for it, or stop it"
                    ) from None
                time.sleep(0.2)
        yield


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # The process exists and belongs to another user.
        pass
    return True


def _process_index_and_count() -> tuple[int, int]:
    """Return index and number of processes as the launcher set them; 0 of 1 without a launcher."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one job and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m curate.engines.job", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="JOB_DIR")
    parser.add_argument("--for", dest="ancestor", type=int, metavar="PID", help="stop when this process ends")
    options = parser.parse_args(arguments)
    job = Job(options.folder, options.ancestor)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, job.request_stop)
    silence_libraries()
    if not job.folder.is_dir():
        print(f"there is no job folder {job.folder}", file=sys.stderr)
        return InputError.exit_code
    index, count = _process_index_and_count()
    # One lock for the group: the first process holds it for all.
    with _exclusive_lock(job.folder) if index == 0 else nullcontext():
        if index == 0:
            (job.folder / ERROR).unlink(missing_ok=True)
        try:
            job.run()
        except CurateError as error:
            job.fail(str(error), error.exit_code)
            return error.exit_code
        except Exception as error:
            # A single process's traceback reaches its parent through output.log; a launcher's output hides it.
            if count > 1:
                what = f"{type(error).__name__}: {first_line(error)}"
                job.fail(f"process {index + 1} of {count} failed ({what}); see {job.folder / OUTPUT}", 1)
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
