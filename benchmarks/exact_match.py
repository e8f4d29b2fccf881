"""Speed of exact match by teacher forcing, compared with generation, and agreement of the two on every row.

Both sides evaluate the demo's compressed model on the same held-out rows, in one process, several times; the ratio is
that of the medians. Rows on which they disagree are counted (generation may write a correct answer in other tokens, or
break a tie differently): the claim holds only if there are none.

    python benchmarks/exact_match.py [--rows 330] [--repeats 3] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.compress import CompressionRequest, compress
from curate.engines.evaluate import load_subject
from curate.engines.evaluate.generation import encode_questions, greedy_answers, stop_tokens
from curate.engines.evaluate.teacher_forcing import score_answers
from curate.engines.tokens.batching import BatchRunner
from curate.engines.tokens.templates import Template
from curate.flows import demo
from curate.flows.demo.disk import conversation_of, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH_TOKENS, BATCH_SIZE, LONGEST = 4096, 64, 64


def timed(work: Callable[[], list[bool]], repeats: int) -> tuple[list[bool], list[float]]:
    """Return the result of `work`, and the wall seconds of each repetition."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return result, seconds


def measure(n_rows: int, repeats: int) -> dict[str, Any]:
    """Return the seconds of both sides, their ratio, and the rows on which they disagree."""
    rows = [conversation_of(row) for row in read_rows(demo.heldout_path())[:n_rows]]
    with tempfile.TemporaryDirectory() as folder:
        compress(demo.model_path(), Path(folder) / "compressed", CompressionRequest(**demo.COMPRESSION))
        subject = load_subject(str(Path(folder) / "compressed"), device="cpu")
    template = Template(subject.tokenizer)
    stops = stop_tokens(subject.model, subject.tokenizer.eos_token_id)

    def forced() -> list[bool]:
        scores = score_answers(subject.model, subject.head, template.encode_many(rows), BatchRunner(BATCH_TOKENS))
        return (scores.correct == scores.tokens).tolist()  # type: ignore[no-any-return]

    def generated() -> list[bool]:
        prompts = [question.prompt for question in encode_questions(template, rows)]
        produced = greedy_answers(subject.model, prompts, stops, LONGEST, BATCH_SIZE)
        texts = subject.tokenizer.batch_decode(produced, skip_special_tokens=True)
        return [text.strip() == turns[-1].content.strip() for text, turns in zip(texts, rows, strict=True)]

    by_forcing, fast = timed(forced, repeats)
    by_generating, slow = timed(generated, repeats)
    return {
        "rows": n_rows,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "exact_match": sum(by_forcing) / n_rows,
        "disagreements": sum(a != b for a, b in zip(by_forcing, by_generating, strict=True)),
        "seconds_forced": statistics.median(fast),
        "seconds_generated": statistics.median(slow),
        "ratio": statistics.median(slow) / statistics.median(fast),
    }


def main() -> None:
    """Measure, print a line or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=330)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report = measure(options.rows, options.repeats)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(
        "{rows} rows: {seconds_forced:.2f} s by teacher forcing, {seconds_generated:.2f} s by generating, "
        "ratio of medians {ratio:.1f}; {disagreements} disagreements".format(**report)
    )


if __name__ == "__main__":
    main()
