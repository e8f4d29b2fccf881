"""Evaluates a model on batches of items, each kind of item by its own method.

A batch is a part: its results depend on its own items only, so that a resumed evaluation equals an uninterrupted one.
Does not access files or the warehouse.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from curate.engines.evaluate.choices import ChoiceScorer
from curate.engines.evaluate.divergence import score_pair
from curate.engines.evaluate.generation import greedy_answers, stop_tokens
from curate.engines.evaluate.grading import is_accepted, last_number, rouge_l
from curate.engines.evaluate.judge import Judge
from curate.engines.evaluate.option_layouts import last_start
from curate.engines.evaluate.rules import follows_all
from curate.engines.evaluate.teacher_forcing import answer_result, likelihood_result, score_answers
from curate.engines.evaluate.texts import WINDOW, in_windows
from curate.engines.tokens.batching import BatchRunner, default_batch_tokens
from curate.engines.tokens.templates import Template, TemplateKind
from curate.schemas.corpus import Turn, turns_of
from curate.schemas.errors import UsageError
from curate.schemas.evaluation import RESULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from curate.engines.evaluate.subject import Subject
    from curate.engines.evaluate.teacher_forcing import TeacherForcingResult
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.evaluation import Normalise, OptionLayout

    Item = dict[str, Any]
    Result = dict[str, Any]

PLACEHOLDER = "x"
"""Stands for the model's answer when a prompt is rendered, so that the end of the prompt can be located."""

LONG_ANSWER_KINDS = ("reasoning", "summary", "judged")
LONG_ANSWER_FACTOR = 4
"""Kinds whose answers may be longer than ``max_new_tokens``, and by which factor."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Settings of an evaluation."""

    template: TemplateKind = "auto"
    """Conversation layout, as in scoring and training."""
    max_length: int = 512
    """Longest sequence in tokens, capped by the model's context."""
    max_new_tokens: int = 64
    """Longest answer in tokens; four times as many for ``reasoning``, ``summary`` and ``judged``."""
    option_layout: OptionLayout = "conversation"
    """Layout of ``choice`` items."""
    normalise: Normalise = "none"
    """What the options of an item are compared by: their log-likelihood, per byte of the option, or less that of the
    option without its question."""
    batch_tokens: int | None = None
    """Tokens per forward pass, padding included; None takes `default_batch_tokens`."""
    most_windows: int | None = None
    """Windows of a plain text that are read, from its beginning; None for all."""
    batch_size: int = 64
    """Answers that are generated concurrently."""


def evaluate(
    batches: Iterable[pa.RecordBatch],
    subject: Subject,
    config: EvaluateConfig,
    progress: Callable[[int], None] | None = None,
    judge: Subject | None = None,
    original: Subject | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield one batch of results (schema `RESULTS`) per batch of items (schema `ITEMS`), rows in the same order.

    A plain text has a row for each of its windows.

    Parameters
    ----------
    batches : iterable of RecordBatch
    subject : Subject
        The model under evaluation.
    config : EvaluateConfig
    progress : callable, optional
        Called with the number of items finished since the last call.
    judge : Subject, optional
        The model that scores the answers to ``judged`` items.
    original : Subject, optional
        The model that ``divergence`` is measured from, with the token ids of `subject`; itself for the original.

    Raises
    ------
    CurateError
        If a single item does not fit into the device's memory.
    InputError
        If an item's rule is unknown.
    UsageError
        If an item needs a judge or the original and there is none.
    """
    evaluator = _Evaluator(subject, config, judge, original)
    for batch in batches:
        given = Counter(batch.column("kind").to_pylist())
        items = in_windows(batch.to_pylist(), subject.tokenizer, window_length(subject, config), config.most_windows)
        results: list[Result] = [{} for _ in items]
        # Kinds in order of appearance, not a set's order: batches must be the same in every run.
        for kind in dict.fromkeys(item["kind"] for item in items):
            chosen = [index for index, item in enumerate(items) if item["kind"] == kind]
            for index, result in zip(chosen, evaluator.evaluate(kind, [items[i] for i in chosen]), strict=True):
                results[index] = result
            if progress:
                progress(given[kind])
        rows = [_complete_row(item, result) for item, result in zip(items, results, strict=True)]
        yield pa.RecordBatch.from_pylist(rows, schema=RESULTS)


def window_length(subject: Subject, config: EvaluateConfig) -> int:
    """Return the longest sequence in tokens, which is also the length of the windows of a plain text."""
    return min(config.max_length, subject.context or config.max_length)


def choice_scorer(subject: Subject, config: EvaluateConfig) -> ChoiceScorer:
    """Return what scores items with options."""
    template = Template(subject.tokenizer, config.template, window_length(subject, config))
    return ChoiceScorer(subject, template, _runner(subject, config), config.normalise)


def _complete_row(item: Item, result: Result) -> Result:
    copied = {name: item[name] for name in ("item_id", "task", "kind", "group", "chance")}
    return {"status": "ok", "n_tokens": 0, **copied, **result}


class _Evaluator:
    """One model, with a method for each kind of item."""

    def __init__(
        self, subject: Subject, config: EvaluateConfig, judge: Subject | None, original: Subject | None
    ) -> None:
        self._subject, self._original = subject, original
        self._model, self._tokenizer, self._head = subject.model, subject.tokenizer, subject.head
        self._config = config
        self._choices = choice_scorer(subject, config)
        self._template, self._runner = self._choices.template, self._choices.runner
        self._batch_tokens = config.batch_tokens or default_batch_tokens(subject.model.device.type)
        self._judge = Judge(judge, config.template, _runner(judge, config)) if judge else None

    def evaluate(self, kind: str, items: Sequence[Item]) -> list[Result]:
        """Return the results of items of one kind."""
        if kind == "rows":
            return self._rows(items)
        if kind == "choice":
            return self._choices.score(items, self._config.option_layout)
        if kind == "continuation":
            return self._choices.score(items, "continuation")
        if kind == "perplexity":
            forced = self._teacher_forced([item[WINDOW] for item in items])
            return [likelihood_result(item[WINDOW], forced, index) for index, item in enumerate(items)]
        if kind == "divergence":
            return self._divergences(items)
        return self._generated(items, kind, LONG_ANSWER_FACTOR if kind in LONG_ANSWER_KINDS else 1)

    def _rows(self, items: Sequence[Item]) -> list[Result]:
        rows = self._template.encode_many([turns_of(item["messages"]) for item in items])
        forced = self._teacher_forced(rows)
        return [answer_result(row, forced, index) for index, row in enumerate(rows)]

    def _divergences(self, items: Sequence[Item]) -> list[Result]:
        """Return the mean divergence from the original over the supervised tokens of every row or window."""
        if self._original is None:
            raise UsageError("an item needs the original model and there is none; name the model before compression")
        encoded = iter(self._template.encode_many([turns_of(one["messages"]) for one in items if WINDOW not in one]))
        rows = [item[WINDOW] if WINDOW in item else next(encoded) for item in items]
        pair = score_pair(self._subject, self._original, rows, self._batch_tokens)
        results = [likelihood_result(row, pair.forced, index) for index, row in enumerate(rows)]
        for result, total in zip(results, pair.divergence, strict=True):
            if "nll" in result:
                result["divergence"] = float(total / result["n_tokens"])
        return results

    def _generated(self, items: Sequence[Item], kind: str, length_factor: int) -> list[Result]:
        """Generate an answer to every item by greedy decoding, and grade it."""
        turns = [(*turns_of(item["messages"]), Turn("assistant", PLACEHOLDER)) for item in items]
        rows = self._template.encode_many(turns)
        usable = [index for index, row in enumerate(rows) if row.n_response and not row.truncated]
        stops = stop_tokens(self._model, self._tokenizer.eos_token_id)
        prompts = [rows[index].ids[: last_start(rows[index])] for index in usable]
        longest = self._config.max_new_tokens * length_factor
        produced = greedy_answers(self._model, prompts, stops, longest, self._config.batch_size)
        # batch_decode turns an empty list into one empty answer.
        decoded = self._tokenizer.batch_decode(produced, skip_special_tokens=True) if produced else []
        answers = [text.strip() for text in decoded]
        grades = self._grades(kind, [items[index] for index in usable], answers)
        results: list[Result] = [{"status": "template_error" if row.error else "no_response_tokens"} for row in rows]
        for index, text, ids, grade in zip(usable, answers, produced, grades, strict=True):
            results[index] = {"said": text, "n_tokens": len(ids), **grade}
        return results

    def _grades(self, kind: str, items: Sequence[Item], answers: Sequence[str]) -> list[Result]:
        """Return the score of every answer, by rule or by the judge."""
        if kind != "judged":
            grader = _GRADERS[kind]
            pairs = zip(items, answers, strict=True)
            return [{"score": float(grader(text, item["references"]))} for item, text in pairs]
        if self._judge is None:
            raise UsageError("an item needs a judge and there is no judge; name a model that scores the answers")
        return self._judge.score(items, answers)

    def _teacher_forced(self, rows: Sequence[Encoded]) -> TeacherForcingResult:
        return score_answers(self._model, self._head, rows, self._runner)


def _runner(subject: Subject, config: EvaluateConfig) -> BatchRunner:
    device_type = subject.model.device.type
    threads = torch.get_num_threads() if device_type == "cpu" else 1
    return BatchRunner(config.batch_tokens or default_batch_tokens(device_type), threads)


def _same_number(answer: str, references: list[str]) -> bool:
    number = last_number(answer)
    return number is not None and number in {last_number(reference) for reference in references}


_GRADERS: dict[str, Callable[[str, list[str]], float]] = {
    "knowledge": is_accepted,
    "open-book": is_accepted,
    "reasoning": _same_number,
    "instructions": follows_all,
    "summary": lambda answer, references: max(rouge_l(answer, reference) for reference in references),
}
