"""Where a recovery works and what it leaves: checkpoints while it runs, then the folder with model, adapter and card.

The folder appears whole or not at all. Knows nothing of training.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from curate.engines.models.checkpoints import has_tokenizer
from curate.engines.models.folder import refuse_existing, write_model
from curate.engines.recover.results.model_card import model_card
from curate.schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.recover.prepare import Prepared

REPORT = "recovery.json"
STEPS = "metrics.jsonl"
CARD = "README.md"
ADAPTER = "adapter"


def read_report(out: Path) -> dict[str, Any] | None:
    """Return the report of a finished recovery, ``metrics`` included, None where `out` holds none."""
    if not (out / REPORT).is_file():
        return None
    report: dict[str, Any] = json.loads((out / REPORT).read_text("utf-8"))
    steps = (out / STEPS).read_text("utf-8").splitlines()
    return {**report, "metrics": [json.loads(line) for line in steps]}


class Workplace:
    """The folder that a recovery works in, beside the result's or as given.

    Parameters
    ----------
    out : Path
        The folder that the result takes in the end; must be free.
    work : Path, optional
        Kept when the recovery stops, with its checkpoints; a temporary one by default.
    writes : bool
        Whether this process is the one that writes there.

    Raises
    ------
    UsageError
        When `out` is not free.
    """

    def __init__(self, out: Path, work: Path | None, *, writes: bool = True) -> None:
        refuse_existing(out)
        self._out, self._kept, self._writes = out, work is not None, writes
        self.folder = work if work is not None else out.parent / f".tmp-{out.name}-{uuid4().hex[:8]}"
        self._staged = self.folder / "result"

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.folder / "checkpoints"

    def __enter__(self) -> Self:
        if not self._writes:
            return self
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"cannot make the folder {self.folder} ({error}); choose another place") from error
        for left in (self._staged, self.folder / ADAPTER):
            shutil.rmtree(left, ignore_errors=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def save_adapter(self, adaptation: Adaptation, facts: dict[str, Any]) -> None:
        """Write what was trained, before merging takes it apart."""
        adaptation.save(self.folder / ADAPTER, facts)

    def write_model(self, ready: Prepared, merged: bool) -> Path:
        """Write the model, where it is merged, and put the adapter beside it; return the unfinished result."""
        if merged:
            write_model(ready.model, ready.source, self._staged)
            if not has_tokenizer(self._staged):
                ready.tokenizer.save_pretrained(self._staged)
        else:
            self._staged.mkdir()
        if (self.folder / ADAPTER).is_dir():
            (self.folder / ADAPTER).rename(self._staged / ADAPTER)
        return self._staged

    def clear(self) -> None:
        """Remove what only served to go on: checkpoints, reconstructed layers, the original's states."""
        for name in ("checkpoints", "layers", "teachers"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def finish(self, report: dict[str, Any], lineage: Mapping[str, Any]) -> None:
        """Write report and card, and give the result its name.

        Raises
        ------
        WarehouseError
            If the disk refuses.
        """
        short = {key: value for key, value in report.items() if key != "metrics"}
        steps = "".join(json.dumps(entry) + "\n" for entry in report["metrics"])
        try:
            told = json.dumps({**short, "lineage": dict(lineage)}, indent=2, ensure_ascii=False)
            (self._staged / REPORT).write_text(told + "\n", "utf-8")
            (self._staged / STEPS).write_text(steps, "utf-8")
            (self._staged / CARD).write_text(model_card(report, lineage), "utf-8")
            self._out.parent.mkdir(parents=True, exist_ok=True)
            beside = self._out.parent / f".tmp-{self._out.name}-{uuid4().hex[:8]}"
            shutil.move(self._staged, beside)  # copies where the result lies on another disk
            beside.rename(self._out)
        except OSError as error:
            raise WarehouseError(f"cannot write the result to {self._out} ({error}); free some space") from error
