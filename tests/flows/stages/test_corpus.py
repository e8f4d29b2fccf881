"""The corpus stage: what it writes of turns that are context only, and what it says of ignored fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from references.conversations import write_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


def test_context_turns_reach_the_catalog_the_explanation_and_the_exports(curate: Run, tmp_path: Path) -> None:
    user, wrong, right = (
        {"role": "user", "content": "Name a colour.", "name": "Ada"},
        {"role": "assistant", "content": "Dog.", "weight": 0},
        {"role": "assistant", "content": "Blue."},
    )
    plain = {"messages": [user, right]}
    write_jsonl(tmp_path / "rows.jsonl", [{"messages": [user, wrong, user, right]}, plain])
    answer = curate("select", "--method", "uniform", "--budget", "1.0", "--corpus", tmp_path / "rows.jsonl")
    assert answer.code == 0, answer.err

    sql = curate("sql", "SELECT example_id, response, context_turns FROM examples ORDER BY n_turns DESC", "--json")
    marked, other = sql.value
    assert (marked["response"], marked["context_turns"]) == ("Blue.", [1])
    assert (other["response"], other["context_turns"]) == ("Blue.", [])
    explained = curate("explain", marked["example_id"], "--json").value
    assert [turn["supervised"] for turn in explained["messages"]] == [False, False, False, True]
    assert "[assistant, context only]" in curate("explain", marked["example_id"]).out

    facts = [json.loads(path.read_text())["facts"] for path in (tmp_path / "here").glob("warehouse/corpus/*/manif*")]
    assert [one["ignored_fields"] for one in facts] == [{"messages[].name": 2}]

    for target, rows, left_out in (("trl", 1, 1), ("messages", 2, 0), ("alpaca", 1, 1)):
        report = curate("export", "--to", target, "--out", tmp_path / target, "--json").value
        assert (report["rows"], sum(report["left_out"].values())) == (rows, left_out)
    written = [json.loads(line) for path in (tmp_path / "messages").glob("*.jsonl") for line in path.open()]
    again = curate("ingest", "--corpus", next((tmp_path / "messages").glob("*.jsonl")), "--json")
    assert again.code == 0
    assert [turn.get("weight") for turn in max(written, key=lambda row: len(row["messages"]))["messages"]] == [
        None, 0, None, None,
    ]  # fmt: skip


def test_sources_of_one_file_name_can_be_told_apart_in_the_catalog(curate: Run, tmp_path: Path) -> None:
    paths = [tmp_path / place / "train.jsonl" for place in ("one", "two")]
    for path in paths:
        write_jsonl(path, [{"prompt": path.parent.name, "completion": "x"}])
    assert curate("ingest", "--corpus", paths[0], "--corpus", paths[1]).code == 0
    sources = curate("sql", "SELECT source FROM sources ORDER BY source", "--json").value
    assert sources == [{"source": "one/train.jsonl"}, {"source": "two/train.jsonl"}]
