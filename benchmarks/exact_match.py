"""How much sooner exact match is known by teacher forcing than by generating, with the same verdict on every row.

Both sides ask the demo's compressed model the same held-out rows, in one process, one after the other, several times;
the ratio is that of the medians. Rows on which the two disagree are counted (generation may spell a right answer in
other tokens, or a tie may fall the other way): the claim holds only if there are none.

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

from curate.engines.compress import compress
from curate.engines.evaluate import load_subject
from curate.engines.evaluate.generation import encode_questions, greedy_answers, stop_tokens
from curate.engines.evaluate.teacher_forcing import read_answers
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
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    return result, seconds


def measure(n_rows: int, repeats: int) -> dict[str, Any]:
    """Return the seconds of both sides, their ratio, and the rows on which they disagree."""
    rows = [conversation_of(row) for row in read_rows(demo.heldout_path())[:n_rows]]
    with tempfile.TemporaryDirectory() as folder:
        compress(demo.model_path(), Path(folder) / "compressed", **demo.COMPRESSION)
        subject = load_subject(str(Path(folder) / "compressed"), device="cpu")
    template = Template(subject.tokenizer)
    stops = stop_tokens(subject.model, subject.tokenizer.eos_token_id)

    def forced() -> list[bool]:
        found = read_answers(subject.model, subject.head, template.encode_many(rows), BatchRunner(BATCH_TOKENS))
        return (found.right == found.tokens).tolist()  # type: ignore[no-any-return]

    def generated() -> list[bool]:
        prompts = [question.prompt for question in encode_questions(template, rows)]
        produced = greedy_answers(subject.model, prompts, stops, LONGEST, BATCH_SIZE)
        said = subject.tokenizer.batch_decode(produced, skip_special_tokens=True)
        return [text.strip() == turns[-1].content.strip() for text, turns in zip(said, rows, strict=True)]

    one, fast = timed(forced, repeats)
    other, slow = timed(generated, repeats)
    return {
        "rows": n_rows,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "exact_match": sum(one) / n_rows,
        "disagreements": sum(a != b for a, b in zip(one, other, strict=True)),
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
    typed = parser.parse_args()
    found = measure(typed.rows, typed.repeats)
    if typed.json:
        print(json.dumps(found, indent=2))
        return
    print(
        "{rows} rows: {seconds_forced:.2f} s by teacher forcing, {seconds_generated:.2f} s by generating, "
        "ratio of medians {ratio:.1f}; {disagreements} disagreements".format(**found)
    )


if __name__ == "__main__":
    main()
