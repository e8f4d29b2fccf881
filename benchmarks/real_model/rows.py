"""The rows of the trial: a skewed pool, its copy with wrong answers, rows of the tests' own kind, held-out rows, tests.

Reads the folder of corpora and writes JSON lines, one file for each source, so that ``--groups source`` sees them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from real_model.plan import Size

POOL = {"alpaca52k": 2400, "codealpaca": 800, "gsm8k_train": 400, "boolq_train": 200, "openbookqa_train": 100,
        "arc-easy_train": 100}  # fmt: skip
"""Rows of each file in the whole pool: 60 % are general instructions, as in the pools that users have."""
SCREENED_ROWS = 20
"""Held-out rows of each file in the screening, taken before the pool; no selection may see them."""
LONGEST = 192
"""Longest row in tokens, template included: short rows make a cell affordable on a CPU."""
EXCHANGED = 0.1
"""Share of the answers of the noisy pool that belong to another row of the same source."""
SEED = 20261128

Row = dict[str, Any]


@dataclass(frozen=True)
class TrialRows:
    """Files of the trial."""

    folder: Path
    pools: dict[str, list[str]]
    """Corpus files by the name of the pool: ``clean``, ``noisy`` and ``target``, rows of the tests' own kind."""
    heldout: list[Row]
    """Held-out rows with ``source``, ``prompt`` and ``response``."""


def read(corpora: Path, name: str) -> list[Row]:
    """Return prompt and response of every row of ``NAME.parquet``."""
    rows = []
    for values in pq.read_table(corpora / f"{name}.parquet").to_pylist():
        if "question" in values:
            prompt, response = values["question"], values["answer"]
        else:
            parts = (values["instruction"], values["input"] or "")
            prompt, response = "\n\n".join(part.strip() for part in parts if part.strip()), values["output"]
        if prompt.strip() and response.strip():
            rows.append({"source": name, "prompt": prompt.strip(), "response": response.strip()})
    return rows


def multiple_choice(corpora: Path, name: str) -> list[Row]:
    """Return question, options and index of the right one of a file of multiple-choice questions."""
    rows = []
    for values in pq.read_table(corpora / f"{name}.parquet").to_pylist():
        text = re.sub(r"\s*\n\nAnswer format: .*$", "", values["instruction"], flags=re.DOTALL)
        question, *options = re.split(r"\s*\bAnswer\d: ", text.partition("question: ")[2])
        answer = int(values["answer"].removeprefix("answer")) - 1
        rows.append({"question": question.strip(), "choices": [one.strip() for one in options], "answer": answer})
    return rows


def prepare(corpora: Path, folder: Path, tokenizer: Any, size: Size) -> TrialRows:
    """Write the files of a size of the trial and return them; equal arguments give equal files.

    The pools of two sizes with the same share are the same. Fresh held-out rows come after the pool.
    """
    rng = np.random.default_rng(SEED)
    clean: dict[str, list[Row]] = {}
    heldout: list[Row] = []
    for name, wanted in POOL.items():
        fitting = (row for row in _distinct(_shuffled(read(corpora, name), rng)) if fits(tokenizer, row))
        end = SCREENED_ROWS + round(size.pool * wanted)
        rows = list(islice(fitting, end + size.fresh))  # lengths are slow: no more than needed
        heldout += rows[end:] if size.fresh else rows[:SCREENED_ROWS]
        clean[name] = rows[SCREENED_ROWS:end]
    noisy = {name: _exchanged(rows, rng) for name, rows in clean.items()}
    target = {
        name: [_asked(item) for item in multiple_choice(corpora, name)]
        for name in ("arc-easy_train", "openbookqa_train")
    }
    pools = {"clean": clean, "noisy": noisy, "target": target}
    return TrialRows(folder, {name: _write(folder / name, rows) for name, rows in pools.items()}, heldout)


def _asked(item: Row) -> Row:
    """Return a question with the text of its answer, as the tests ask it."""
    return {"prompt": f"Question: {item['question']}\nAnswer:", "response": item["choices"][item["answer"]]}


def fits(tokenizer: Any, row: Row) -> bool:
    """Return whether a row has at most `LONGEST` tokens."""
    turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["response"]}]
    return len(row["prompt"]) + len(row["response"]) <= 8 * LONGEST and length(tokenizer, turns) <= LONGEST


def length(tokenizer: Any, turns: Sequence[dict[str, str]]) -> int:
    """Return the tokens of a conversation, template included."""
    return len(tokenizer(tokenizer.apply_chat_template(turns, tokenize=False)).input_ids)


def _distinct(rows: Sequence[Row]) -> list[Row]:
    return list({row["prompt"]: row for row in rows}.values())


def _shuffled(rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
    return [rows[index] for index in rng.permutation(len(rows))]


def _exchanged(rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
    """Return the rows, a share of which have one another's responses."""
    changed = rng.choice(len(rows), round(EXCHANGED * len(rows)), replace=False)
    result = [dict(row) for row in rows]
    for index, other in zip(changed, np.roll(changed, 1), strict=True):
        result[index]["response"] = rows[other]["response"]
    return result


def _write(folder: Path, sources: dict[str, list[Row]]) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, rows in sources.items():
        file = folder / f"{name}.jsonl"
        lines = [json.dumps({"prompt": row["prompt"], "response": row["response"]}, ensure_ascii=False) for row in rows]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        files.append(str(file))
    return files
