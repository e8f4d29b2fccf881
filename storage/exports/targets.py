"""The table of export targets (`TARGETS`), and the function that exports a selection to one of them."""

from __future__ import annotations

import glob
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import UsageError, did_you_mean
from curate.storage.exports import axolotl, axolotl_kd, hf_dataset, llama_factory, model_optimizer, shapes
from curate.storage.exports.answers import Answers, with_answers
from curate.storage.exports.rows import KeptRow, UnsupportedRow, kept_ranks, kept_rows
from curate.storage.exports.writing import (
    Destination,
    ExportCounts,
    write_array,
    write_bytes,
    write_document,
    write_lines,
)
from curate.storage.maintenance.forgotten import forgotten
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from curate.storage.warehouse.warehouse import Warehouse

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Target:
    """One export target."""

    about: str
    """Description of the written files, one line."""
    shape: Callable[[KeptRow], Any]
    """Converts a kept row to one record."""
    write: Callable[[Destination, Iterable[Any]], list[Path]]
    """Writes records to files and returns their paths."""


def _lines(to: Destination, records: Iterable[Any]) -> list[Path]:
    path = to.folder / f"{to.name}.jsonl"
    write_lines(path, records)
    return [path]


def _array(to: Destination, records: Iterable[Any]) -> list[Path]:
    path = to.folder / f"{to.name}.json"
    write_array(path, records)
    return [path]


def _ids(to: Destination, records: Iterable[Any]) -> list[Path]:
    """Write one example id per line, best first."""
    path = to.folder / f"{to.name}.ids.txt"
    ranked = sorted(records)
    write_bytes(path, "".join(f"{example_id}\n" for _, example_id in ranked).encode())
    return [path]


TARGETS: dict[str, Target] = {
    "llama-factory": Target(
        "data file in its sharegpt format, registered in dataset_info.json",
        shapes.alternating_sharegpt,
        llama_factory.write,
    ),
    "axolotl": Target(
        "JSON lines of messages, and the YAML of a chat_template data set",
        lambda row: shapes.supervised_messages(row, arguments_as_text=True),
        axolotl.write,
    ),
    "axolotl-kd": Target(
        "Parquet of messages and the original's top-k log-probabilities, and the YAML of axolotl's KD plugin",
        axolotl_kd.record,
        axolotl_kd.write,
    ),
    "model-optimizer": Target(
        "JSON lines of messages, one file a source, and the YAML of Model-Optimizer's data blend",
        model_optimizer.record,
        model_optimizer.write,
    ),
    "trl": Target("JSON lines of messages, with tools if there are any", shapes.supervised_messages, _lines),
    "alpaca": Target("JSON array of instruction, input, output, system, history", shapes.alpaca, _array),
    "sharegpt": Target("JSON lines of from/value turns, tool roles included", shapes.sharegpt, _lines),
    "messages": Target("JSON lines of role/content turns, with tool_calls and tools", shapes.messages, _lines),
    "hf-dataset": Target("folder for datasets.load_from_disk", hf_dataset.record, hf_dataset.write),
    "ids": Target("one example id per line, best first", lambda row: (row.rank, row.example_id), _ids),
    "calibration": Target(
        "few rows drawn by their damage, as text and messages, for calibrating a quantiser",
        lambda row: {"text": shapes.plain_text(row), **shapes.messages(row)},
        _lines,
    ),
}


def target_named(name: str) -> Target:
    """Return the target of ``--to``; UsageError if there is none."""
    if name not in TARGETS:
        raise UsageError(f"--to {name!r} is not a known target{did_you_mean(name, tuple(TARGETS))}")
    return TARGETS[name]


def export(
    warehouse: Warehouse,
    selection_id: str,
    target: str,
    folder: Path,
    name: str | None = None,
    only: Collection[str] | None = None,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
    answers: Answers | None = None,
) -> dict[str, Any]:
    """Write the kept rows of a selection for one target.

    Parameters
    ----------
    selection_id : str
        Full id of the selection.
    target : str
        One of `TARGETS`.
    folder : Path
        Output folder; created if missing.
    name : str, optional
        Prefix of all file names; by default ``curate_`` and the first 8 digits of the selection's id.
    only : collection of str, optional
        Example ids to restrict the kept rows to.
    columns : mapping of str to mapping, optional
        More columns of each record, by example id, that no corpus holds; rows without them are left out.
    answers : Answers, optional
        A model's accepted answers, to be written in place of the corpus's.

    Returns
    -------
    dict
        ``files``, ``rows``, ``licences`` and ``sources`` with their numbers of rows, and ``left_out``, the number of
        rows left out by reason. ``<name>.export.json`` gets the same, and the ids of the rows left out.

    Raises
    ------
    UsageError
        If the target is unknown, or the name or folder cannot be used.
    InputError
        If the target can represent none of the kept rows.
    WarehouseError
        If a file cannot be written.
    """
    chosen = target_named(target)
    name = f"curate_{selection_id[:8]}" if name is None else name
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name!r} is not a plain file name; use letters, digits, '_', '-' and '.'")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; pass a folder")
    selection = warehouse.manifest("selection", selection_id)
    rank = kept_ranks(warehouse, selection_id)
    if only is not None:
        rank = {example_id: position for example_id, position in rank.items() if example_id in only}
    atomic.make_folder(folder)
    counts = ExportCounts()
    for example_id in forgotten(warehouse.root):
        if rank.pop(example_id, None) is not None:
            counts.left_out[example_id] = "forgotten after the selection"
    rows: Iterable[KeptRow] = kept_rows(warehouse, selection.inputs["corpus"], rank)
    if answers is not None:
        rows = with_answers(rows, answers, counts)
    _remove_leftovers(folder, name)
    to = Destination(folder, name, warehouse.root, warehouse.lock_timeout)
    files = chosen.write(to, counts.convert(rows, _with_columns(chosen.shape, columns)))
    report = {
        "selection_id": selection_id,
        "method": selection.settings["method"],
        "budget": selection.settings["budget"],
        "target": target,
        **({} if answers is None else {"targets": answers.targets, "keep_reference": answers.keep_reference}),
        "files": [str(path) for path in files],
        "rows": counts.rows,
        "licences": dict(sorted(counts.licences.items())),
        "sources": dict(sorted(counts.sources.items())),
        "left_out": dict(sorted(Counter(counts.left_out.values()).items())),
    }
    summary = folder / f"{name}.export.json"
    write_document(summary, {**report, "files": [path.name for path in files], "left_out_ids": counts.left_out})
    return {**report, "files": [*report["files"], str(summary)]}


def _with_columns(
    shape: Callable[[KeptRow], Any], columns: Mapping[str, Mapping[str, Any]] | None
) -> Callable[[KeptRow], Any]:
    """Return `shape` with the given columns added to its records."""
    if columns is None:
        return shape

    def extended(row: KeptRow) -> Any:
        record = shape(row)
        if row.example_id not in columns:
            raise UnsupportedRow("longer than --max-length, or without a response that the model was trained on")
        return {**record, **columns[row.example_id]}

    return extended


def _remove_leftovers(folder: Path, name: str) -> None:
    """Remove temporary files of killed exports of the same name; only some file systems need them."""
    for path in folder.glob(f"{atomic.TEMPORARY}*-{glob.escape(name)}*.unfinished"):
        process = path.name.removeprefix(atomic.TEMPORARY).partition("-")[0]
        if process.isdecimal() and not Path(f"/proc/{process}").exists():
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
