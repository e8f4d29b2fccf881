"""Asks a model a batch of items and judges what it says, each kind in its own way.

A batch is a part: its numbers depend on its own items only, so that a resumed evaluation gives what an uninterrupted
one gives. Knows nothing of files, of other models, and of what the figures are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from curate.engines.evaluate.generation import greedy_answers, stop_tokens
from curate.engines.evaluate.grading import is_accepted, last_number, rouge_l
from curate.engines.evaluate.judge import Judge
from curate.engines.evaluate.rules import keeps_all
from curate.engines.evaluate.teacher_forcing import read_answers
from curate.engines.evaluate.texts import opening_token, windows
from curate.engines.tokens.batching import BatchRunner
from curate.engines.tokens.templates import Template, TemplateKind
from curate.schemas.corpus import Turn, turns_of
from curate.schemas.errors import UsageError
from curate.schemas.evaluation import RESULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from curate.engines.evaluate.subject import Subject
    from curate.engines.evaluate.teacher_forcing import Forced
    from curate.engines.tokens.templates import Encoded

    Item = dict[str, Any]
    Result = dict[str, Any]

EVALUATE_VERSION = 1
"""Version of the method, raised by hand when a number changes."""

BATCH_TOKENS = {"cpu": 4096}
BATCH_TOKENS_OTHER = 32768
PLACEHOLDER = "x"
"""An answer that nobody reads, put where the model is about to speak, so that the prompt's end can be found."""


@dataclass(frozen=True)
class EvaluateConfig:
    """How items are asked."""

    template: TemplateKind = "auto"
    """Layout of a conversation, as in scoring and training."""
    max_length: int = 512
    """Longest sequence in tokens, capped by the model's context."""
    max_new_tokens: int = 64
    """Longest answer in tokens; ``reasoning``, ``summary`` and ``judged`` may take four times as many."""
    batch_tokens: int | None = None
    """Tokens per forward pass, padding counted; None takes 4,096 on a CPU and 32,768 elsewhere."""
    batch_size: int = 64
    """Answers that are generated at a time."""


def evaluate(
    batches: Iterable[pa.RecordBatch],
    subject: Subject,
    config: EvaluateConfig,
    progress: Callable[[int], None] | None = None,
    judge: Subject | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield one batch of results (schema `RESULTS`) for each batch of items (schema `ITEMS`), rows in their order.

    Parameters
    ----------
    batches : iterable of RecordBatch
    subject : Subject
        The model that is asked.
    config : EvaluateConfig
    progress : callable, optional
        Told how many items are done.
    judge : Subject, optional
        The model that reads the answers to ``judged`` items.

    Raises
    ------
    CurateError
        When a single item does not fit into the device's memory.
    InputError
        When an item's rule is not known.
    UsageError
        When an item is to be judged and there is no judge.
    """
    asker = _Asker(subject, config, judge)
    for batch in batches:
        items = batch.to_pylist()
        results: list[Result] = [{} for _ in items]
        for kind in dict.fromkeys(item["kind"] for item in items):
            places = [place for place, item in enumerate(items) if item["kind"] == kind]
            for place, result in zip(places, asker.ask(kind, [items[p] for p in places]), strict=True):
                results[place] = result
            if progress:
                progress(len(places))
        rows = [_whole(item, result) for item, result in zip(items, results, strict=True)]
        yield pa.RecordBatch.from_pylist(rows, schema=RESULTS)


def _whole(item: Item, result: Result) -> Result:
    same = {name: item[name] for name in ("item_id", "task", "kind", "group", "chance")}
    return {"status": "ok", "n_tokens": 0, **same, **result}


class _Asker:
    """One model, and a way to ask for each kind of item."""

    def __init__(self, subject: Subject, config: EvaluateConfig, judge: Subject | None) -> None:
        self._model, self._tokenizer, self._head = subject.model, subject.tokenizer, subject.head
        self._config = config
        length = min(config.max_length, subject.context or config.max_length)
        self._template = Template(subject.tokenizer, config.template, length)
        self._runner = _runner(subject, config)
        self._judge = Judge(judge, config.template, _runner(judge, config)) if judge else None

    def ask(self, kind: str, items: Sequence[Item]) -> list[Result]:
        """Return the results of items of one kind."""
        if kind == "rows":
            return self._rows(items)
        if kind == "choice":
            return self._choices(items)
        if kind == "perplexity":
            return self._texts(items)
        return self._spoken(items, kind, 4 if kind in ("reasoning", "summary", "judged") else 1)

    def _rows(self, items: Sequence[Item]) -> list[Result]:
        rows = self._template.encode_many([turns_of(item["messages"]) for item in items])
        found = self._read(rows)
        return [_judged(row, found, place) for place, row in enumerate(rows)]

    def _choices(self, items: Sequence[Item]) -> list[Result]:
        """Judge every item by its likeliest option; the nll is that of the right one."""
        asked = [(turns_of(item["messages"]), option) for item in items for option in item["references"]]
        rows = self._template.encode_many([(*turns, Turn("assistant", option)) for turns, option in asked])
        rows = [_last_only(row) for row in rows]
        found = self._read(rows)
        results, start = [], 0
        for item in items:
            stop = start + len(item["references"])
            right = start + item["answer"]
            result = _judged(rows[right], found, right)
            if all(row.n_response for row in rows[start:stop]):
                best = start + int(np.argmin(found.nll[start:stop]))
                result |= {"score": float(best == right), "said": item["references"][best - start]}
            else:
                result |= {"status": "no_response_tokens", "score": None}
            results.append(result)
            start = stop
        return results

    def _texts(self, items: Sequence[Item]) -> list[Result]:
        opening = opening_token(self._tokenizer)
        ids = [self._tokenizer(item["references"][0], add_special_tokens=False)["input_ids"] for item in items]
        parts = [windows(tokens, opening, self._template.max_length) for tokens in ids]
        found = self._read([window for part in parts for window in part])
        owner = np.repeat(np.arange(len(items)), [len(part) for part in parts])
        nll = np.bincount(owner, weights=found.nll, minlength=len(items))
        tokens = np.bincount(owner, weights=found.tokens, minlength=len(items)).astype(int)
        right = np.bincount(owner, weights=found.right, minlength=len(items))
        return [
            {"n_tokens": int(n), "nll": float(nll[i] / n), "token_accuracy": float(right[i] / n)}
            if n
            else {"status": "no_response_tokens"}
            for i, n in enumerate(tokens)
        ]

    def _spoken(self, items: Sequence[Item], kind: str, times: int) -> list[Result]:
        """Let the model answer, greedily, and grade what it says."""
        turns = [(*turns_of(item["messages"]), Turn("assistant", PLACEHOLDER)) for item in items]
        rows = self._template.encode_many(turns)
        usable = [place for place, row in enumerate(rows) if row.n_response and not row.truncated]
        stops = stop_tokens(self._model, self._tokenizer.eos_token_id)
        prompts = [rows[place].ids[: _last_start(rows[place])] for place in usable]
        room = self._config.max_new_tokens * times
        produced = greedy_answers(self._model, prompts, stops, room, self._config.batch_size)
        # An empty list would be decoded as one empty answer.
        decoded = self._tokenizer.batch_decode(produced, skip_special_tokens=True) if produced else []
        said = [text.strip() for text in decoded]
        grades = self._grades(kind, [items[place] for place in usable], said)
        results: list[Result] = [{"status": "template_error" if row.error else "no_response_tokens"} for row in rows]
        for place, text, ids, grade in zip(usable, said, produced, grades, strict=True):
            results[place] = {"said": text, "n_tokens": len(ids), **grade}
        return results

    def _grades(self, kind: str, items: Sequence[Item], said: Sequence[str]) -> list[Result]:
        """Return the score of every answer, by rule or by the judge."""
        if kind != "judged":
            grader = _GRADERS[kind]
            return [{"score": float(grader(text, item["references"]))} for item, text in zip(items, said, strict=True)]
        if self._judge is None:
            raise UsageError("an item is to be judged and there is no judge; name a model that reads the answers")
        return self._judge.read(items, said)

    def _read(self, rows: Sequence[Encoded]) -> Forced:
        return read_answers(self._model, self._head, rows, self._runner)


def _runner(subject: Subject, config: EvaluateConfig) -> BatchRunner:
    kind = subject.model.device.type
    threads = torch.get_num_threads() if kind == "cpu" else 1
    return BatchRunner(config.batch_tokens or BATCH_TOKENS.get(kind, BATCH_TOKENS_OTHER), threads)


def _judged(row: Encoded, found: Forced, place: int) -> Result:
    """Return the figures of one teacher-forced row."""
    if row.error or not row.n_response:
        return {"status": "template_error" if row.error else "no_response_tokens"}
    tokens, right = int(found.tokens[place]), int(found.right[place])
    return {
        "status": "truncated" if row.truncated else "ok",
        "score": float(right == tokens),
        "nll": float(found.nll[place] / tokens),
        "token_accuracy": right / tokens,
        "n_tokens": tokens,
    }


def _last_start(row: Encoded) -> int:
    """Return where the last supervised stretch of a row begins."""
    stop = int(np.flatnonzero(row.supervised)[-1])
    while stop > 0 and row.supervised[stop - 1]:
        stop -= 1
    return stop


def _last_only(row: Encoded) -> Encoded:
    """Return the row with its last supervised stretch only: earlier answers of a conversation are context."""
    if not row.n_response:
        return row
    supervised = row.supervised.copy()
    supervised[: _last_start(row)] = False
    return type(row)(row.ids, supervised, row.truncated, row.error)


def _same_number(said: str, references: list[str]) -> bool:
    number = last_number(said)
    return number is not None and number == last_number(references[0])


_GRADERS: dict[str, Callable[[str, list[str]], float]] = {
    "knowledge": is_accepted,
    "open-book": is_accepted,
    "reasoning": _same_number,
    "instructions": keeps_all,
    "summary": lambda said, references: max(rouge_l(said, one) for one in references),
}
