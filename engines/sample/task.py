"""Sampling as a task for workers: the name of a model that is opened on a device, and the samples of a part's rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.engines.evaluate.generation import stop_tokens
from curate.engines.evaluate.option_layouts import last_start
from curate.engines.evaluate.run import PLACEHOLDER
from curate.engines.evaluate.subject import load_subject
from curate.engines.models.checkpoints import generation_files
from curate.engines.sample.accept import Accept, judge_of, never
from curate.engines.sample.adaptive import Drawn, draw_adaptively, waves
from curate.engines.sample.answer import Answer
from curate.engines.sample.batch import Drawing, Request
from curate.engines.sample.draw import draw_samples, uniforms_of
from curate.engines.tokens.templates import Template, TemplateKind
from curate.schemas.corpus import Turn, turns_of
from curate.schemas.targets import CALIBRATED, TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from curate.engines.evaluate.subject import Subject
    from curate.engines.sample.draw import Sample
    from curate.engines.sample.pruning import Pruning
    from curate.engines.sample.scorer import Scorer
    from curate.engines.workers.pool import ComputePart, Progress


@dataclass(frozen=True)
class SamplingConfig:
    """Settings of the samples."""

    best_of: int
    """Most samples of a row."""
    accept: Accept
    threshold: float
    """Share of samples that must agree, for ``agreement``; unused otherwise."""
    temperature: float
    """Of all samples but the first, > 0."""
    max_new_tokens: int
    seed: int
    template: TemplateKind = "auto"
    """Conversation layout, as in scoring and training."""
    max_length: int = 512
    """Longest prompt in tokens, capped by the model's context."""
    scorer: Scorer | None = None
    """Judge of answers without a check, for ``likelihood`` and ``selfeval``; without it, all samples of every row are
    drawn, to calibrate one on."""
    pruning: Pruning | None = None
    """When half-drawn samples stop, if ever."""

    @property
    def with_states(self) -> bool:
        """Whether hidden states are read."""
        return self.accept == "selfeval"


@dataclass(frozen=True)
class Question:
    """A row that can be asked."""

    example_id: str
    prompt: NDArray[np.int64]
    """Everything before the last answer, as token ids."""
    reference: str
    """The corpus's answer."""


@dataclass(frozen=True)
class SamplingTask:
    """Draws samples for the rows of parts; a `curate.engines.workers.pool.TravellingTask`.

    A part is a RecordBatch with ``example_id``, ``messages`` and ``tools``; its result has the schema `TARGETS`, or
    `CALIBRATED` where a self-evaluation is to be fitted on it.
    """

    model: str
    """Folder or hub name."""
    config: SamplingConfig
    dtype: str = "auto"
    trust_remote_code: bool = False

    def open(self, device: str) -> tuple[dict[str, Any], ComputePart]:
        """Load the model; return no facts and the function that draws the samples of a part.

        Raises
        ------
        InputError, UsageError
            As `load_subject`.
        """
        subject = load_subject(self.model, device=device, dtype=self.dtype, trust_remote_code=self.trust_remote_code)

        def sample_part(index: int, part: pa.RecordBatch, progress: Progress) -> pa.RecordBatch:
            result = sample_rows(subject, part.to_pylist(), self.config)
            progress(part.num_rows)
            return result

        return {}, sample_part

    def models(self) -> dict[str, list[Path]]:
        """Return the model's files by its name."""
        return {self.model: generation_files(self.model)}

    def with_folders(self, folders: Mapping[str, str]) -> SamplingTask:
        """Return the task with another folder of the same model."""
        return replace(self, model=folders.get(self.model, self.model))


def sample_rows(subject: Subject, rows: Sequence[Mapping[str, Any]], config: SamplingConfig) -> pa.RecordBatch:
    """Return the samples of rows with ``example_id``, ``messages`` and ``tools``."""
    to_answer = questions(subject, rows, config)
    how = Drawing(
        stop_tokens(subject.model, subject.tokenizer.eos_token_id),
        config.max_new_tokens,
        config.temperature,
        subject.context,
        config.with_states,
        config.pruning,
    )

    def draw(pairs: Sequence[tuple[int, int]]) -> list[Answer]:
        requests = [_request(to_answer, row, number, config) for row, number in pairs]
        return _answers(subject, draw_samples(subject.model, requests, how))

    judge = judge_of(config.accept, config.threshold, config.scorer)
    # To calibrate on, samples are pruned as those will be that are judged: by waves.
    at_once = judge is never and config.pruning is None
    rounds = [range(1, config.best_of + 1)] if at_once else waves(config.best_of)
    drawn = draw_adaptively([one.reference for one in to_answer], rounds, draw, judge)
    records = [record for pair in zip(to_answer, drawn, strict=True) for record in _records(*pair)]
    fitted_on = config.with_states and config.scorer is None
    return pa.RecordBatch.from_pylist(records, schema=CALIBRATED if fitted_on else TARGETS)


def _answers(subject: Subject, samples: Sequence[Sample]) -> list[Answer]:
    """Return samples as texts."""
    texts = subject.tokenizer.batch_decode([one.ids for one in samples], skip_special_tokens=True)
    return [
        Answer(text.strip(), one.n_tokens, one.mean_logp, one.stopped_early, one.mean_entropy, one.state, one.pruned)
        for text, one in zip(texts, samples, strict=True)
    ]


def questions(subject: Subject, rows: Sequence[Mapping[str, Any]], config: SamplingConfig) -> list[Question]:
    """Return the rows that can be asked: those that end with a supervised answer whose prompt fits."""
    turns = [(row, turns_of(row["messages"])) for row in rows]
    answered = [(row, given) for row, given in turns if is_answer(given[-1]) and len(given) > 1]
    template = Template(
        subject.tokenizer, config.template, min(config.max_length, subject.context or config.max_length)
    )
    prompts = [(*given[:-1], Turn("assistant", PLACEHOLDER)) for _, given in answered]
    encoded = template.encode_many(prompts, [row["tools"] for row, _ in answered])
    return [
        Question(row["example_id"], tokens.ids[: last_start(tokens)], given[-1].content)
        for (row, given), tokens in zip(answered, encoded, strict=True)
        if tokens.n_response and not tokens.truncated
    ]


def is_answer(turn: Turn) -> bool:
    """Return whether a turn is an answer in words that is trained on: no call of a function, no context."""
    return turn.role == "assistant" and turn.supervised and not turn.tool_call


def _request(questions: Sequence[Question], row: int, number: int, config: SamplingConfig) -> Request:
    one = questions[row]
    uniforms = uniforms_of(config.seed, one.example_id, number, config.max_new_tokens) if number > 1 else None
    return Request(one.prompt, uniforms, row)


def _records(question: Question, drawn: Drawn) -> Iterator[dict[str, Any]]:
    verdict = drawn.verdict
    accepted = verdict.accepted
    if accepted is None and True in verdict.passed:  # all samples were drawn, to calibrate on
        accepted = verdict.passed.index(True)
    for index, answer in enumerate(drawn.answers):
        yield {
            "example_id": question.example_id,
            "number": index + 1,
            "text": answer.text,
            "n_tokens": answer.n_tokens,
            "mean_logp": answer.mean_logp,
            "passed": verdict.passed[index],
            "score": verdict.scores[index],
            "accepted": index == accepted,
            "stopped_early": answer.stopped_early,
            "mean_entropy": answer.mean_entropy,
            "state": answer.state,
        }
