"""Runs the cells of the trial: select, train, measure, keep the answers and nothing else.

Select and score go through `curate.flows`, as a user calls them; training through `curate.engines.recover`, since the
models are measured and deleted. A cell that has its file is not run again, and several processes share the cells.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from curate.engines.models.checkpoints import model_files
from curate.engines.recover import RecoveryContext, recover
from curate.engines.recover.training.original_predictions import PredictionCache
from curate.flows import select, settings
from curate.schemas.artefacts import digest
from curate.schemas.corpus import Turn
from curate.schemas.errors import CurateError
from curate.schemas.recovery import RecoveryRequest
from real_model import pair
from real_model.measures import measure
from real_model.plan import ARMS, RECIPES, ROW_TOKENS, Cell, Size
from real_model.rows import length

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from curate.flows import Selection
    from real_model.measures import Tests
    from real_model.rows import TrialRows

TRAINING = {"learning_rate": 5e-4, "batch": 8, "rank": 8, "teacher_top": 256}
"""Settings of an earlier look at the same model, the same for every arm."""


@dataclass(frozen=True)
class Trial:
    """Where a run reads and writes."""

    original: Path
    tokenizer: Any
    rows: TrialRows
    tests: Tests
    size: Size
    work: Path
    """Warehouses, models and caches; may be deleted, at the price of computing them again."""
    results: Path
    """The answers of the cells."""

    def run(self, cell: Cell) -> bool:
        """Run a cell unless it is done or another process runs it; return whether it was run."""
        file = self.results / cell.file
        with _claimed(self.work / "locks" / cell.file) as free:
            if not free or file.exists():
                return False
            start = time.process_time()
            selection = self._selection(cell)
            folder, facts = self._trained(cell, selection)
            facts |= {"seconds_training": time.process_time() - start}
            results = measure(folder, self.tests)
            shutil.rmtree(folder)
            self._keep(file, results, {**asdict(cell), **facts, "seconds": time.process_time() - start})
        return True

    def reference(self, name: str, folder: Path, directory: str) -> None:
        """Measure an untrained model, the original or the compressed one, unless it is done."""
        file = self.results / directory / f"{name}.parquet"
        with _claimed(self.work / "locks" / directory / name) as free:
            if free and not file.exists():
                self._keep(file, measure(folder, self.tests), {"model": name})

    def _keep(self, file: Path, results: pa.Table, facts: dict[str, Any]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        pq.write_table(results.replace_schema_metadata({"trial": json.dumps(facts)}), partial, compression="zstd")
        partial.replace(file)

    def compressed(self, name: str) -> Path:
        """Return the compressed model of a pair."""
        return pair.compressed(self.original, name, self.rows.pools["clean"], self.work)

    def _selection(self, cell: Cell) -> Selection:
        """Return the selection of a cell; those of all recipes are the same."""
        arm = ARMS[cell.arm]
        options = dict(arm.get("options", {}))
        if cell.arm == "length-matched":
            options["like"] = self._selection(Cell(cell.pair, cell.pool, "paser", cell.recipe, cell.seed)).id
        pool = "target" if cell.arm == "target" else cell.pool
        # Without scores a budget is in rows; `_trained` makes the tokens equal.
        rows = ROW_TOKENS.get(cell.arm)
        budget = str(self.size.tokens // rows) if rows else f"{self.size.tokens}-tokens"
        return select(settings(
            corpus=self.rows.pools[pool], warehouse=self.rows.folder / f"warehouse-{cell.pair}-{pool}", seed=cell.seed,
            original=str(self.original), compressed=str(self.compressed(cell.pair)), threads=1,
            score={"sketch": pool != "target", "device": self.size.device}, embed={"device": self.size.device},
            select={"method": arm["method"], "budget": budget, "options": options},
        ))  # fmt: skip

    def _trained(self, cell: Cell, selection: Selection) -> tuple[Path, dict[str, Any]]:
        """Train on a selection, on as many tokens as every other cell; return the model and facts of the training."""
        chosen = [row["messages"] for row in selection.rows()]
        rows = [tuple(Turn(one["role"], one["content"]) for one in turns) for turns in chosen]
        kept = sum(length(self.tokenizer, turns) for turns in chosen)
        request = RecoveryRequest(
            **(TRAINING | RECIPES[cell.recipe]), epochs=round(self.size.epochs * self.size.tokens / kept, 6),
            seed=cell.seed, device=self.size.device,
        )  # fmt: skip
        folder = self.work / "trained" / cell.file
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        report = recover(
            str(self.compressed(cell.pair)), rows, folder, request, original=str(self.original),
            context=RecoveryContext(cache=PredictionCache(self.work / "predictions", self._original_digest())),
        )  # fmt: skip
        names = ("method", "rows", "steps", "tokens", "loss_first", "loss_last")
        return folder, {"selection": selection.id, "tokens_kept": kept, **{name: report[name] for name in names}}

    def _original_digest(self) -> str:
        return digest([[path.name, path.stat().st_size] for path in model_files(str(self.original))])


@contextmanager
def _claimed(file: Path) -> Iterator[bool]:
    """Yield whether this process holds the lock of a cell; the lock ends with the process."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def attempt(trial: Trial, cell: Cell) -> str:
    """Run a cell and return what became of it; a cell that fails does not end the run."""
    try:
        return "done" if trial.run(cell) else "was done, or runs elsewhere"
    except CurateError as error:
        return f"failed: {error}"
