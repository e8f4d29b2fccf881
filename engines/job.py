"""Long model work as a process of its own: ``python -m curate.engines.job JOB_DIR``.

The same on this machine, under an orchestrator, and on a remote one that has torch and little else. In: ``job.json``,
``rows.parquet`` and ``heldout.parquet``. Out: the folder that ``job.json`` names, with the model, its report and
metrics; ``job.log``; ``progress.jsonl``, a line a step or layer; and ``error.json`` where it failed. SIGTERM and SIGINT
make it write a checkpoint and exit with 130; the same command goes on there. One process at a time works in a folder,
or those that ``accelerate launch`` started together, which share every step.
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

JOB, ROWS, HELDOUT = "job.json", "rows.parquet", "heldout.parquet"
LOG, PROGRESS, ERROR, WORK = "job.log", "progress.jsonl", "error.json", "work"
OUTPUT = "output.log"
"""What the processes say themselves, where `curate.flows.stages.recovering.job_process` started them."""

SECONDS_BETWEEN_LINES = 10.0
LOCK_SECONDS = 60.0
"""How long to wait for a process that was told to stop and is still writing its checkpoint."""


class Job:
    """One job folder: what it asks for, its log, and whether it was asked to stop."""

    def __init__(self, folder: Path, ancestor: int | None = None) -> None:
        self.folder, self._ancestor, self._parent = folder, ancestor, os.getppid()
        self._asked, self._told = False, 0.0

    def ask_to_stop(self, *_: object) -> None:
        """Stop after the step under way; a signal handler."""
        self._asked = True

    def stops(self) -> bool:
        """Return True if a signal came, or the process for which this one works, or its launcher, is gone."""
        if self._asked or self._ancestor is None:
            return self._asked
        return os.getppid() != self._parent or not _is_alive(self._ancestor)

    def say(self, text: str) -> None:
        """Write one line to the log and to stderr."""
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}"
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        print(line, file=sys.stderr, flush=True)

    def tell(self, entry: dict[str, Any], steps: int) -> None:
        """Note a finished step, and say how it goes every ten seconds and at the end."""
        self._note({**entry, "steps": steps})
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_LINES or entry["step"] == steps:
            self._told = now
            self.say(step_line(entry, steps))

    def read_told(self, done: int, rows: int) -> None:
        """Note and say how far the original has read."""
        text = f"original: {done} of {rows} rows read"
        self._note({"note": text})
        self.say(text)

    def layer_told(self, done: int, layers: int) -> None:
        """Note and say that a layer was reconstructed."""
        text = f"layer {done} of {layers} reconstructed"
        self._note({"note": text})
        self.say(text)

    def _note(self, entry: dict[str, Any]) -> None:
        with (self.folder / PROGRESS).open("a", encoding="utf-8") as progress:
            progress.write(json.dumps(entry) + "\n")

    def fail(self, text: str, exit_code: int) -> None:
        """Say why the job ends; of several processes the first to say so is heard."""
        with suppress(FileExistsError), (self.folder / ERROR).open("x", encoding="utf-8") as file:
            json.dump({"error": text, "exit_code": exit_code}, file)
            self.say(text)

    def run(self) -> None:
        """Do what ``job.json`` asks for, together with the processes that were launched beside this one."""
        asked = self._asked_for()
        from curate.engines.recover import recover
        from curate.engines.recover.training.original_predictions import library_of
        from curate.engines.recover.training.processes import join, leave

        ranks = join(*_number(), asked["request"]["device"])
        if ranks.first:
            self.say(f"{asked['kind']}: {asked['model']}" + (f", {ranks.count} processes" if ranks.count > 1 else ""))
        report = recover(
            asked["model"],
            _batches(self.folder / ROWS),
            asked["out"],
            RecoveryRequest.from_json(asked["request"]),
            heldout=_batches(self.folder / HELDOUT),
            original=asked["original"],
            work=self.folder / WORK,
            template_digest=asked["template_digest"],
            lineage=asked["lineage"],
            stop=self.stops,
            tell=self.tell,
            layer_told=self.layer_told,
            read_told=self.read_told,
            library=None if asked.get("library") is None else library_of(asked["library"]),
            ranks=ranks,
        )
        leave()
        if ranks.first:
            self.say(f"done: {report['method']}, {report['steps']} steps, {report['seconds']:.1f} s: {asked['out']}")

    def _asked_for(self) -> dict[str, Any]:
        path = self.folder / JOB
        try:
            asked: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read ({error}); give the folder of a job") from error
        if asked.get("kind") != "recover":
            raise InputError(f"{path} asks for {asked.get('kind')!r}, which this version does not do; known: recover")
        return asked


def step_line(entry: dict[str, Any], steps: int) -> str:
    """Return how a run goes, in words: step, loss, tokens per second, time left at the pace of this step."""
    left = (steps - entry["step"]) * entry["seconds"]
    pace = entry["tokens"] / max(entry["seconds"], 1e-9)
    return (
        f"step {entry['step']} of {steps}: loss {entry['loss']:.4f}, {pace:,.0f} tokens/s, "
        f"{left / 60:.1f} min left" + ("" if entry["step"] < steps else ", trained")
    )


def _batches(path: Path) -> list[pa.RecordBatch]:
    """Return the rows of a Parquet file, none where it is not there."""
    if not path.exists():
        return []
    try:
        return list(pq.read_table(path).to_batches())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); make the job again") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, waiting a little for a process that is stopping.

    Raises
    ------
    WarehouseError
        When another process goes on working there.
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
        pass
    return True


def _number() -> tuple[int, int]:
    """Return number and count of this process as a launcher set them; 0 of 1 without one."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one job and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m curate.engines.job", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="JOB_DIR")
    parser.add_argument("--for", dest="ancestor", type=int, metavar="PID", help="stop when this process ends")
    chosen = parser.parse_args(arguments)
    job = Job(chosen.folder, chosen.ancestor)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, job.ask_to_stop)
    silence_libraries()
    if not job.folder.is_dir():
        print(f"there is no job folder {job.folder}", file=sys.stderr)
        return InputError.exit_code
    index, count = _number()
    with _alone(job.folder) if index == 0 else nullcontext():
        if index == 0:
            (job.folder / ERROR).unlink(missing_ok=True)
        try:
            job.run()
        except CurateError as error:
            job.fail(str(error), error.exit_code)
            return error.exit_code
        except Exception as error:
            if count > 1:
                what = f"{type(error).__name__}: {first_line(error)}"
                job.fail(f"process {index + 1} of {count} failed ({what}); see {job.folder / OUTPUT}", 1)
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
