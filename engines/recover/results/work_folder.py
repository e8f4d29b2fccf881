"""The work folder of a recovery, with its checkpoints, and the output folder with model, adapter, report and card.

The output folder appears complete or not at all.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from safetensors import SafetensorError

from curate.engines.compress.width.elastic import ELASTIC
from curate.engines.models.folder import refuse_existing, write_model
from curate.engines.models.tokenizer_files import has_tokenizer
from curate.engines.recover.results.model_card import model_card
from curate.schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.recover.prepare import LoadedSetup

REPORT = "recovery.json"
STEPS = "metrics.jsonl"
CARD = "README.md"
ADAPTER = "adapter"


def read_report(out: Path) -> dict[str, Any] | None:
    """Return the report of a finished recovery, ``metrics`` included, None if `out` holds none."""
    if not (out / REPORT).is_file():
        return None
    report: dict[str, Any] = json.loads((out / REPORT).read_text("utf-8"))
    steps = (out / STEPS).read_text("utf-8").splitlines()
    return {**report, "metrics": [json.loads(line) for line in steps]}


class WorkFolder:
    """The folder that a recovery works in; a context manager, whose exit deletes a temporary one.

    Parameters
    ----------
    out : Path
        The output folder; must not exist, or be empty.
    work : Path, optional
        Kept when the recovery stops, with its checkpoints; a temporary folder next to `out` by default.
    writes : bool
        Whether this process is the one that writes.

    Raises
    ------
    UsageError
        When `out` is not free.
    """

    def __init__(self, out: Path, work: Path | None, *, writes: bool = True) -> None:
        refuse_existing(out)
        self._out, self._keep, self._writes = out, work is not None, writes
        self.path = work if work is not None else out.parent / f".tmp-{out.name}-{uuid4().hex[:8]}"
        self.staged = self.path / "result"
        """The output folder while it is unfinished."""

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def layers(self) -> Path:
        """Folder of the reconstructed layers."""
        return self.path / "layers"

    def __enter__(self) -> Self:
        if not self._writes:
            return self
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"cannot create the folder {self.path} ({error}); choose another folder") from error
        # Left by an attempt that was killed while it wrote its result.
        self.discard_result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._keep:
            shutil.rmtree(self.path, ignore_errors=True)

    def discard_result(self) -> None:
        """Delete the model and the adapter that were written so far."""
        for unfinished in (self.staged, self.path / ADAPTER):
            shutil.rmtree(unfinished, ignore_errors=True)

    def save_adapter(self, adaptation: Adaptation, facts: dict[str, Any]) -> None:
        """Write the trained tensors; called before merging, which takes the adapter apart.

        Raises
        ------
        WarehouseError
            If the disk cannot be written.
        """
        folder = self.path / ADAPTER
        try:
            adaptation.save(folder, facts)
        except (OSError, SafetensorError) as error:
            raise WarehouseError(f"cannot write the adapter to {str(folder)!r} ({error}); free some space") from error

    def write_model(self, loaded: LoadedSetup, merged: bool) -> None:
        """Write the model, if it is merged, and move the adapter next to it, in `staged`."""
        if merged:
            write_model(loaded.model, loaded.source, self.staged)
            if not has_tokenizer(self.staged):
                loaded.tokenizer.save_pretrained(self.staged)
            if (loaded.source / ELASTIC).is_file():  # the channels are still sorted, for `compress --method truncate`
                shutil.copyfile(loaded.source / ELASTIC, self.staged / ELASTIC)
        else:
            self.staged.mkdir()
        if (self.path / ADAPTER).is_dir():
            (self.path / ADAPTER).rename(self.staged / ADAPTER)

    def finish(self, report: dict[str, Any], lineage: Mapping[str, Any]) -> None:
        """Write report and card, and rename the result to the output folder.

        Raises
        ------
        WarehouseError
            If the disk cannot be written.
        """
        summary = {key: value for key, value in report.items() if key != "metrics"}
        steps = "".join(json.dumps(entry) + "\n" for entry in report["metrics"])
        try:
            text = json.dumps({**summary, "lineage": dict(lineage)}, indent=2, ensure_ascii=False)
            (self.staged / REPORT).write_text(text + "\n", "utf-8")
            (self.staged / STEPS).write_text(steps, "utf-8")
            (self.staged / CARD).write_text(model_card(report, lineage), "utf-8")
            self._out.parent.mkdir(parents=True, exist_ok=True)
            # A move between disks copies file by file; only the rename that follows makes the result visible.
            unnamed = self._out.parent / f".tmp-{self._out.name}-{uuid4().hex[:8]}"
            shutil.move(self.staged, unnamed)
            unnamed.rename(self._out)
        except OSError as error:
            raise WarehouseError(f"cannot write the result to {self._out} ({error}); free some space") from error

    def clear(self) -> None:
        """Delete what is needed for resuming only: checkpoints, reconstructed layers, the original's predictions."""
        for name in ("checkpoints", "layers", "teachers"):
            shutil.rmtree(self.path / name, ignore_errors=True)
