"""The demo's held-out rows as evaluation items, grouped by capability, with their chance level.

Two capabilities can be guessed from the question: recall answers with one of the values in its table, majority with
one of its letters. The others have too many possible answers for chance to matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from curate.flows import demo
from curate.flows.demo.disk import conversation_of, question_of, read_rows
from curate.schemas.corpus import example_id

if TYPE_CHECKING:
    from collections.abc import Iterator

TASK = "demo"


def heldout_items() -> Iterator[dict[str, Any]]:
    """Yield the held-out rows of the demo, in their order, as rows of `curate.schemas.evaluation.ITEMS`."""
    capabilities = pq.read_table(demo.heldout_truth_path())["capability"].to_pylist()
    for row, capability in zip(read_rows(demo.heldout_path()), capabilities, strict=True):
        turns = conversation_of(row)
        yield {
            "item_id": example_id(turns),
            "task": TASK,
            "kind": "rows",
            "group": capability,
            "messages": [{"role": turn.role, "content": turn.content, "tool_call": False} for turn in turns],
            "references": [],
            "answer": None,
            "chance": chance(capability, question_of(row)),
        }


def chance(capability: str, question: str) -> float:
    """Return the probability that a guess among the answers offered by the question is right, in [0, 1).

    Parameters
    ----------
    capability : str
    question : str
        Instruction and data, the data after the last line break or colon.
    """
    data = question.splitlines()[-1].rpartition(": ")[2]
    if capability == "recall":
        return 1 / len(data.partition(",")[0].split())
    return 1 / len(set(data.split())) if capability == "majority" else 0.0
