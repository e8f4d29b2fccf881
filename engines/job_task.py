"""A recovery as the one part of a task for a worker of a cluster: the files of a job folder in, its product out.

The worker has no file of the warehouse: predictions of the original that are kept there are computed again, and a job
whose worker ends begins anew elsewhere, without checkpoints.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from curate.engines.job import ERROR, HELDOUT, JOB, LOG, PROGRESS, ROWS, Job
from curate.engines.workers.shipping import pack
from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.engines.workers.pool import ComputePart, Progress
    from curate.engines.workers.shipping import ShippedFiles

INPUTS = (JOB, ROWS, HELDOUT)
RESULT = "result"
"""Folder of the trained model in the product, whose other files are those of the job folder."""


@dataclass(frozen=True)
class JobTask:
    """Runs a recovery job; a `curate.engines.workers.pool.TravellingTask`.

    A part is the content of the files `INPUTS` by name; its result is a `ShippedFiles` with the folder `RESULT`, log
    and progress, or with the error file instead of a folder.
    """

    model: str
    """Folder or hub name, as of the original."""
    original: str | None = None

    def open(self, device: str) -> tuple[dict[str, Any], ComputePart]:
        """Return no facts, and the function that runs a job on `device`; the job loads its models itself."""

        def run(index: int, files: Mapping[str, bytes], progress: Progress) -> ShippedFiles:
            with TemporaryDirectory(prefix="curate-job-") as place:
                return self._run(Path(place), files, device)

        return {}, run

    def models(self) -> dict[str, list[Path]]:
        """Return the files of both models by name."""
        from curate.engines.models.checkpoints import generation_files

        return {name: generation_files(name) for name in (self.model, self.original) if name is not None}

    def with_folders(self, folders: Mapping[str, str]) -> JobTask:
        """Return the task with other folders of the same models."""
        original = None if self.original is None else folders.get(self.original, self.original)
        return replace(self, model=folders.get(self.model, self.model), original=original)

    def _run(self, folder: Path, files: Mapping[str, bytes], device: str) -> ShippedFiles:
        import ray

        for name, content in files.items():
            (folder / name).write_bytes(content)
        description = json.loads(files[JOB])
        description |= {"model": self.model, "original": self.original, "out": str(folder / RESULT), "library": None}
        description["request"]["device"] = device
        (folder / JOB).write_text(json.dumps(description), "utf-8")
        job = Job(folder)
        try:
            job.run()
            _name_base(folder / RESULT, json.loads(files[JOB])["model"])
        except CurateError as error:
            job.fail(str(error), error.exit_code)
        return pack(_product(folder), ray.put)


def _name_base(result: Path, model: str) -> None:
    """Let an adapter name its base as it is called where the job was written, not by its folder on this node."""
    for path in result.rglob("adapter_config.json"):
        config = json.loads(path.read_text("utf-8")) | {"base_model_name_or_path": model}
        path.write_text(json.dumps(config, indent=2, sort_keys=True), "utf-8")


def _product(folder: Path) -> dict[str, Path]:
    """Return the files that travel back, by their path in the job folder."""
    files = [folder / name for name in (LOG, PROGRESS, ERROR)] + sorted((folder / RESULT).rglob("*"))
    return {str(path.relative_to(folder)): path for path in files if path.is_file()}
