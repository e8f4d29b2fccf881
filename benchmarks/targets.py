"""Targets from the original of the built-in demo against planted wrong answers, and from any model on sums.

    python benchmarks/targets.py demo [--rows 351] [--best-of 8] [--seed 0] [--warehouse DIR] [--json]
    python benchmarks/targets.py sums --model FOLDER [--rows 72] [--best-of 8] [--seed 0] [--warehouse DIR] [--json]

demo: rows are drawn at random; the original answers each until its answer equals the corpus's. Printed: the samples of
a row beside always drawing the most, the share of planted wrong answers that no sample was accepted for, the share of
clean rows with a target, and of these targets the share that is right by the demo's ground truth.

sums: lines of text behind two worked examples, a third each of two-digit sums, three-digit sums and products of two
digits and one. Printed: how many the likeliest answer solves, how many one of the samples does, at what share of all
samples, and what the judges of answers without a check say of themselves on the same samples.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from curate import flows
from curate.engines.evaluate.generation import stop_tokens
from curate.engines.evaluate.grading import is_accepted
from curate.engines.evaluate.subject import load_subject
from curate.engines.sample.accept import never
from curate.engines.sample.adaptive import draw_adaptively, waves
from curate.engines.sample.answer import Answer
from curate.engines.sample.batch import Drawing, Request
from curate.engines.sample.calibration import calibrate, checked_of, stopping
from curate.engines.sample.draw import draw_samples, uniforms_of
from curate.engines.sample.scorer import likelihood
from curate.flows import demo, progress
from curate.flows.cli.render.console import console, grid
from curate.flows.demo.disk import conversation_of, read_rows
from curate.schemas.corpus import example_id
from curate.schemas.errors import GateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.engines.evaluate.subject import Subject
    from curate.engines.sample.adaptive import Drawn
    from curate.engines.sample.calibration import Checked
    from curate.engines.sample.pruning import Pruning
    from curate.engines.sample.scorer import ScoredBy
    from curate.flows import Targets

LIMIT = 6
"""Longest answer to a sum, in tokens: a space, four digits and the end of the line."""
BY: tuple[ScoredBy, ...] = ("likelihood", "selfeval")


def drawn(root: Path, rows: int, best_of: int, seed: int) -> Targets:
    """Select rows at random and draw the original's answers to them."""
    options = flows.settings(
        warehouse=root,
        seed=seed,
        select={"method": "uniform", "budget": str(rows)},
        sample={"best_of": best_of, "max_new_tokens": 48},
    )
    with progress.on_stderr():
        return flows.sample(options, flows.select(options).id)


def clean_answers() -> dict[str, tuple[str, bool]]:
    """Return the right answer to every usable row of the demo, and whether its label is wrong, by example id."""
    truth = pq.read_table(demo.truth_path()).to_pylist()
    pairs = zip(read_rows(demo.pool_path()), truth, strict=True)
    return {
        example_id(conversation_of(row)): (one["clean_answer"], one["label_noise"])
        for row, one in pairs
        if one["usable"]
    }


def figures(targets: Targets) -> dict[str, Any]:
    """Return the figures of the table."""
    answers = clean_answers()
    samples = targets.samples().to_pylist()
    answered = {one["example_id"] for one in samples}
    accepted = {one["example_id"]: one["text"] for one in samples if one["accepted"]}
    wrong = {one for one in answered if answers[one][1]}
    clean = answered - wrong
    report = targets.summary()
    return {
        "rows": len(answered),
        "mean_samples": report["mean_samples"],
        "tokens": report["tokens"],
        "tokens_always": report["tokens_always"],
        "wrong_labels": len(wrong),
        "wrong_labels_refused": len(wrong - accepted.keys()),
        "clean_rows": len(clean),
        "clean_rows_solved": len(clean & accepted.keys()),
        "clean_targets_right": sum(is_accepted(accepted[one], [answers[one][0]]) for one in clean & accepted.keys()),
    }


def problems(count: int, seed: int) -> list[tuple[str, str]]:
    """Return distinct problems and their answers, the three kinds in turn."""
    rng = np.random.default_rng(seed)
    chosen: dict[str, str] = {}
    while len(chosen) < count:
        kind = len(chosen) % 3
        low, high = ((10, 100), (100, 1000), (10, 100))[kind]
        first, second = int(rng.integers(low, high)), int(rng.integers(*((2, 10) if kind == 2 else (low, high))))
        sign, answer = ("*", first * second) if kind == 2 else ("+", first + second)
        chosen[f"{first} {sign} {second} ="] = str(answer)
    return list(chosen.items())


def prompts(count: int, seed: int) -> list[tuple[str, str]]:
    """Return prompts, each a problem behind two worked examples of its kind on lines of their own, and the answers."""
    solved = problems(6 + count, seed)
    texts = []
    for place, (question, answer) in enumerate(solved[6:]):
        shots = [solved[place % 3], solved[place % 3 + 3]]
        texts.append(("".join(f"{ask} {reply}\n" for ask, reply in shots) + question, answer))
    return texts


class Sampler:
    """Draws answers to sums, at most `LIMIT` tokens on one line."""

    def __init__(
        self, subject: Subject, asked: Sequence[tuple[str, str]], seed: int, with_states: bool = False
    ) -> None:
        self._subject, self._seed, self._with_states = subject, seed, with_states
        self._ids = [np.array(subject.tokenizer(text)["input_ids"], np.int64) for text, _ in asked]
        self._stops = [
            *stop_tokens(subject.model, subject.tokenizer.eos_token_id),
            *subject.tokenizer("\n")["input_ids"],
        ]
        self.pruning: Pruning | None = None

    def draw(self, pairs: Sequence[tuple[int, int]]) -> list[Answer]:
        """Return an answer to each pair of row and sample number."""
        requests = [
            Request(self._ids[row], None if number == 1 else uniforms_of(self._seed, str(row), number, LIMIT), row)
            for row, number in pairs
        ]
        how = Drawing(self._stops, LIMIT, 0.7, with_states=self._with_states, pruning=self.pruning)
        samples = draw_samples(self._subject.model, requests, how)
        texts = self._subject.tokenizer.batch_decode([one.ids for one in samples], skip_special_tokens=True)
        return [
            Answer(
                text.strip(), one.n_tokens, one.mean_logp, one.stopped_early, one.mean_entropy, one.state, one.pruned
            )
            for text, one in zip(texts, samples, strict=True)
        ]


def sums(model: str, count: int, best_of: int, seed: int) -> dict[str, Any]:
    """Return the figures of sums: greedy, waves until the reference is met, and the judges that have no reference."""
    asked = prompts(count, seed)
    draw = Sampler(load_subject(model), asked, seed, with_states=True).draw
    drawn = draw_adaptively([answer for _, answer in asked], [range(1, best_of + 1)], draw, never)
    checked = checked_of(
        [(str(row), *pair) for row, one in enumerate(drawn) for pair in zip(one.answers, right(one), strict=True)]
    )
    judges = {by: gate(checked, by) for by in BY}
    return {**by_reference([right(one) for one in drawn], best_of), **judges, "by_likelihood": by_likelihood(checked)}


def right(drawn: Drawn) -> list[bool]:
    """Return which answers of a row are right."""
    return [bool(one) for one in drawn.verdict.passed]


def by_reference(rows: list[list[bool]], best_of: int) -> dict[str, Any]:
    """Return what waves until the first right sample would have given and cost, of samples that were all drawn."""
    ends = {number: wave[-1] for wave in waves(best_of) for number in wave}
    greedy = sum(passed[0] for passed in rows) / len(rows)
    solved = sum(any(passed) for passed in rows) / len(rows)
    first = [passed.index(True) + 1 if any(passed) else best_of for passed in rows]
    always = len(rows) * best_of
    return {
        "rows": len(rows),
        "right_greedy": greedy,
        "right_mean_sample": sum(map(sum, rows)) / always,
        "right_by_reference": solved,
        "times_greedy": solved / max(greedy, 1 / len(rows)),
        "share_drawn_in_waves": sum(ends[number] for number in first) / always,
        "share_to_the_first_right": sum(first) / always,
    }


def gate(checked: Checked, by: ScoredBy) -> str:
    """Return what `curate sample --accept` says: that the judge passes, or why it is refused."""
    try:
        _, report = calibrate(checked, by, None)
    except GateError as refused:
        return f"exit {refused.exit_code}: {refused}"
    return f"passes: {report}"


def by_likelihood(checked: Checked) -> list[dict[str, float]]:
    """Return what stopping at a likelihood gives on all prompts, at several thresholds."""
    scores = np.array([likelihood(one) for one in checked.answers])
    everything = np.arange(len(scores))
    wanted = ("greedy", "by_score", "by_score_samples", "by_reference")
    return [
        {"threshold": level, **{name: stopping(checked, scores, everything, level)[name] for name in wanted}}
        for level in (0.1, 0.3, 0.5, 0.9)
    ]


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["demo", "sums"])
    parser.add_argument("--model", help="of sums: a folder or a hub name")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--best-of", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warehouse", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.warehouse or Path(temporary)
        if options.what == "sums":
            result = sums(options.model, options.rows or 72, options.best_of, options.seed)
        else:
            result = figures(drawn(root, options.rows or 351, options.best_of, options.seed))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    console().print(grid(("figure", "value"), [[name.replace("_", " "), value] for name, value in result.items()]))


if __name__ == "__main__":
    main()
