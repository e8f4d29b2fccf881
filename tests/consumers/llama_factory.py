"""Loads a data set as LLaMA-Factory does, written from its documentation, independently of the exporter.

Source: "LLaMA-Factory: data/README.md" (https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md): the keys
of dataset_info.json with their defaults; "human and observation should appear in odd positions, while gpt and function
should appear in even positions"; the alpaca format with its history; and the behaviour of its converter, which skips
("abnormal example") a conversation that breaks these rules or has an odd number of turns.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from datasets import load_dataset

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
OPTIONAL_COLUMNS = {"history", "system", "tools"}
KNOWN = {"file_name", "formatting", "columns", "tags", "ranking", "split", "num_samples"}
ODD, EVEN = ("human", "observation"), ("gpt", "function_call")


def load(dataset_dir: Path, name: str, cache: Path) -> list[dict[str, Any]]:
    """Return system, tools and turns of every example of data set `name`; fail if the trainer would skip one."""
    entry = json.loads((dataset_dir / "dataset_info.json").read_text(encoding="utf-8"))[name]
    assert entry.keys() <= KNOWN, entry
    columns = {**COLUMNS, **entry.get("columns", {})}
    assert columns.keys() <= COLUMNS.keys() | OPTIONAL_COLUMNS
    file = dataset_dir / entry["file_name"]
    rows = load_dataset("json", data_files=str(file), split="train", cache_dir=str(cache))
    align = {"alpaca": _alpaca, "sharegpt": _sharegpt}[entry.get("formatting", "alpaca")]
    return [align(row, columns) for row in rows]


def _sharegpt(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    turns = row[columns["messages"]]
    system = row[columns["system"]] if "system" in columns else ""
    if turns[0]["from"] == "system":
        system, turns = turns[0]["value"], turns[1:]
    assert turns
    assert len(turns) % 2 == 0, f"invalid message count in {turns}"
    for position, turn in enumerate(turns):
        assert turn["from"] in (ODD, EVEN)[position % 2], f"invalid role tag in {turns}"
        assert isinstance(turn["value"], str)
        if turn["from"] == "function_call":
            calls = json.loads(turn["value"])
            for call in calls if isinstance(calls, list) else [calls]:
                assert {"name", "arguments"} <= call.keys()
    tools = row[columns["tools"]] if "tools" in columns else ""
    assert isinstance(json.loads(tools or "[]"), list)
    return {"system": system, "tools": tools, "turns": [(turn["from"], turn["value"]) for turn in turns]}


def _alpaca(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    turns: list[tuple[str, str]] = []
    for question, answer in row[columns["history"]] if "history" in columns else []:
        turns += [("human", question), ("gpt", answer)]
    query = [row[columns[part]] for part in ("prompt", "query") if row[columns[part]]]
    assert query
    assert isinstance(row[columns["response"]], str)
    turns += [("human", "\n".join(query)), ("gpt", row[columns["response"]])]
    return {"system": row[columns["system"]] if "system" in columns else "", "tools": "", "turns": turns}
