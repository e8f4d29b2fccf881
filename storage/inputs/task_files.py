"""Reads files of evaluation tasks into items (`curate.schemas.evaluation`), and detects the kind of task.

A task is written ``FILE`` or ``kind:FILE``. Without a kind, the columns decide: ``rules`` → instructions, options →
choice, ``endings`` → continuation, ``document`` and ``summary`` → summary, ``text`` alone (or a .txt file) →
perplexity, otherwise rows of a corpus. ``judged`` and ``divergence`` are never detected.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.schemas.artefacts import digest
from curate.schemas.corpus import ID_DIGITS, Example, Turn, message_of
from curate.schemas.errors import InputError, UsageError
from curate.schemas.evaluation import KINDS, Kind
from curate.storage.formats import read_source, source_name
from curate.storage.formats.containers.detect import reader_of
from curate.storage.formats.rows import RawRow, RowProblem
from curate.storage.formats.shapes.columns import CHOICE_COLUMNS, CHOICES, ColumnNames
from curate.storage.formats.shapes.texts import optional_text
from curate.storage.formats.sources import existing_path
from curate.storage.inputs.continuations import continuations
from curate.storage.inputs.task_rows import ITEM_BUILDERS, choice_builder, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Item = dict[str, Any]


@dataclass(frozen=True)
class TaskFile:
    """One evaluation task of the command line."""

    path: str
    kind: Kind

    @property
    def name(self) -> str:
        """Kind and the file's name without suffixes: ``knowledge:facts``."""
        return f"{self.kind}:{source_name(self.path).partition('.')[0]}"


def parse_task(word: str) -> TaskFile:
    """Return the task of an argument ``FILE`` or ``kind:FILE``.

    Raises
    ------
    InputError
        If there is no such file, or it is empty.
    UsageError
        If the part before the colon is not a kind.
    """
    prefix, colon, path = word.partition(":")
    if colon and prefix in KINDS:
        return TaskFile(path, prefix)
    if colon and not Path(word).exists() and not word.startswith("hub:"):
        raise UsageError(f"--tasks {word!r}: {prefix!r} is not a kind of task; known: {', '.join(KINDS)}")
    return TaskFile(word, _kind_of(word))


def _kind_of(path: str) -> Kind:
    if path.startswith("hub:") or existing_path(path).is_dir():
        return "rows"
    if Path(path).suffix == ".txt":
        return "perplexity"
    columns = set(next(_raw(path))[1])
    if "rules" in columns:
        return "instructions"
    if "endings" in columns:
        return "continuation"
    if columns & set(CHOICES) or set(CHOICE_COLUMNS[:2]) <= columns:
        return "choice"
    if {"document", "summary"} <= columns:
        return "summary"
    return "perplexity" if columns == {"text"} else "rows"


def read_items(task: TaskFile, limit: int | None = None) -> Iterator[Item]:
    """Yield the items of a task in their order, at most `limit`; the rows of `ITEMS` as dictionaries.

    Raises
    ------
    InputError
        If a row cannot be used; the message has its file, number, column and reason. No row is skipped, since a score
        over fewer items than the file has would be another score.
    """
    conversations = task.kind == "rows" or (task.kind == "divergence" and not _is_plain(task.path))
    rows = _conversations(task) if conversations else _items(task)
    for count, item in enumerate(rows):
        if count == limit:
            return
        yield item


def item(
    task: TaskFile, turns: tuple[Turn, ...], references: list[str], *, group: str = "", chance: float = 0.0, **more: Any
) -> Item:
    """Return one item; its id is a digest of the question and the accepted answers."""
    body = [task.kind, [[turn.role, turn.content] for turn in turns], references]
    messages = [message_of(turn) for turn in turns]
    fixed = {"item_id": digest(body, ID_DIGITS), "task": task.name, "kind": task.kind, "group": group or task.name}
    return {**fixed, "messages": messages, "references": references, "answer": None, "chance": chance, **more}


def _conversations(task: TaskFile) -> Iterator[Item]:
    for row in read_source(task.path):
        if not isinstance(row, Example):
            raise InputError(f"{row.source}, row {row.row}: {row.reason}; correct the file, every row must be usable")
        yield item(task, row.turns, [], item_id=row.id)


def _items(task: TaskFile) -> Iterator[Item]:
    if task.kind == "continuation" and (Path(task.path).suffix == ".txt" or not _has_options(task.path)):
        for context, options, answer in continuations(task.path, _texts(task.path)):
            yield item(task, (Turn("user", context),), options, answer=answer, chance=1 / len(options))
        return
    if Path(task.path).suffix == ".txt":
        for content in _texts(task.path):
            yield item(task, (), [content])
        return
    if task.kind in ("choice", "continuation"):
        make = choice_builder(values for _, values in _raw(task.path))
    else:
        make = ITEM_BUILDERS[task.kind]
    for number, values in _raw(task.path):
        try:
            turns, references, more = make(values)
            chance = share(values.get("chance", more.pop("chance", 0.0)))
            yield item(
                task, turns, references, group=optional_text(values, ("group", "subject")), chance=chance, **more
            )
        except RowProblem as problem:
            where = f"{task.path}, row {number}" + (f", column {problem.column!r}" if problem.column else "")
            raise InputError(f"{where}: {problem}; correct the file, every row must be usable") from problem


def _raw(path: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield row number and values of every row of a file, column names in lower case."""
    file = existing_path(path)
    reader = reader_of(file)
    names, empty = ColumnNames({}), True
    for row in reader(file, source_name(path)) if reader else ():
        if not isinstance(row, RawRow):
            raise InputError(f"{path}, row {row.row}: {row.reason}; correct the file, every row must be usable")
        empty = False
        yield row.number, names.rename(row.values)
    if empty:
        raise InputError(f"{path} is empty: it holds no rows; check how it was written")


def _is_plain(path: str) -> bool:
    """Return whether a file holds texts rather than conversations."""
    if path.startswith("hub:") or existing_path(path).is_dir():
        return False
    return Path(path).suffix == ".txt" or set(next(_raw(path))[1]) == {"text"}


def _has_options(path: str) -> bool:
    columns = set(next(_raw(path))[1])
    return bool(columns & {*CHOICES, "endings"}) or set(CHOICE_COLUMNS[:2]) <= columns


def _texts(path: str) -> Iterator[str]:
    if Path(path).suffix == ".txt":
        yield from _content(existing_path(path))
        return
    for number, values in _raw(path):
        if not isinstance(values.get("text"), str):
            raise InputError(
                f"{path}, row {number}, column 'text': no text; a continuation task needs one, or options in 'endings'"
            )
        yield str(values["text"])


def _content(file: Path) -> Iterator[str]:
    """Yield the text of a file, nothing if it is blank."""
    try:
        content = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise InputError(f"{file} is not UTF-8 text (byte {problem.start}); save it as UTF-8") from problem
    if content.strip():
        yield content
