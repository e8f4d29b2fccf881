"""Builds the data and the model of the demo: ``python -m curate.flows.demo.build``.

Writes pool, held-out rows and ground truth, then trains the model on clean rows of the same generators (never a
held-out question): at most an hour on two cores. ``--data`` stops after the rows; ``--report`` measures the existing
model before and after compression and rewrites the table of docs/demo.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from curate.flows import demo, progress
from curate.flows.demo.corpus import training_rows
from curate.flows.demo.disk import question_of, write_data
from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOKENIZER_PAIRS = 40_000
"""Question–answer pairs that the tokenizer is trained on."""


def training_pairs() -> Iterator[tuple[str, str]]:
    """Yield clean questions and answers without end.

    Every fourth question has a single line break before its data, so that the model does not rely on the blank line.
    """
    for number, row in enumerate(training_rows()):
        question = question_of(row.alpaca())
        yield (question.replace("\n\n", "\n") if number % 4 == 0 else question), row.output


def train(out: Path) -> None:
    """Train the demo model and write it to `out`, logging the loss every two hundred steps."""
    from curate.engines.pretrain import PretrainConfig, pretrain

    config, start, losses = PretrainConfig(), time.monotonic(), [0.0]

    def on_step(step: int, loss: float) -> None:
        losses.append(loss)
        if step % 200 == 0:
            mean, seconds = sum(losses[-200:]) / 200, time.monotonic() - start
            progress.note(f"step {step} of {config.steps}: loss {mean:.4f}, {seconds:.0f} s")

    texts = (f"{question}\n\n{answer}" for question, answer in islice(training_pairs(), TOKENIZER_PAIRS))
    facts = pretrain(training_pairs(), texts, out, config, on_step)
    progress.note(f"{facts['parameters']:,} parameters, {facts['vocabulary']} tokens, loss {facts['loss']:.4f}: {out}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m curate.flows.demo.build", description=__doc__)
    parser.add_argument("--data", action="store_true", help="write the rows only, do not train")
    parser.add_argument(
        "--report",
        type=Path,
        nargs="?",
        const=Path("docs/demo.md"),
        metavar="FILE",
        help="measure and rewrite the table",
    )
    parser.add_argument("--out", type=Path, default=demo.data_path(), help="folder for rows and model")
    options = parser.parse_args(arguments)
    with progress.report_to(progress.LineListener()):
        try:
            _run(options)
        except CurateError as error:
            progress.note(str(error))
            return error.exit_code
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.report is not None:
        from curate.flows.demo.report import measure, rewrite, table

        rewrite(options.report, table(measure()))
        return
    write_data(options.out)
    if not options.data:
        train(options.out / "model")


if __name__ == "__main__":
    sys.exit(main())
