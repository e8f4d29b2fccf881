"""Runs a training job on a worker of a Ray cluster, and brings its product back to the job folder.

The job's log appears on stderr with the address of its node, as all that workers print.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from curate.flows import progress
from curate.flows.stages.engine import open_on_ray
from curate.flows.stages.recovering.job_process import failure

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.settings import Settings


def run_job_on_ray(settings: Settings, folder: Path, out: Path, stage: str) -> list[dict[str, Any]]:
    """Run the job in `folder` on the cluster, move the trained model to `out`, and return what each worker did.

    Parameters
    ----------
    settings : Settings
    folder : Path
        Named after the artefact, as in errors; its log and error file become those of the worker.
    out : Path
        Appears complete or not at all.
    stage : str
        What progress calls it.

    Raises
    ------
    CurateError
        If the job failed, with its message and exit code; or if the workers that it was given to ended.
    """
    from curate.engines.job import ERROR, JOB
    from curate.engines.job_task import INPUTS, RESULT, JobTask
    from curate.engines.workers.shipping import write_files

    (folder / ERROR).unlink(missing_ok=True)
    description = json.loads((folder / JOB).read_text("utf-8"))
    task = JobTask(description["model"], description["original"])
    files = {name: (folder / name).read_bytes() for name in INPUTS}
    device = description["request"]["device"]
    with open_on_ray(settings, task, 1, device, f"job {folder.name}".format) as pool, progress.stage(stage):
        for _, product in pool.run([(0, files)], lambda _: None):
            # Here, while the worker that holds the files is alive.
            shutil.rmtree(folder / RESULT, ignore_errors=True)
            write_files(product, folder)
    if (folder / ERROR).exists():
        raise failure(folder, 1)
    out.parent.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).rename(out)
    return pool.worker_summaries()
