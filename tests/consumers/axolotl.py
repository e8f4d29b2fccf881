"""Loads a ``chat_template`` data set as axolotl does, written from its documentation, independently of the exporter.

Source: "Conversation", axolotl documentation (https://docs.axolotl.ai/docs/dataset-formats/conversation.html): the data
set's keys and their defaults, the message properties that are taken over, ``tools`` in JSON schema, and arguments of a
tool call as JSON text where tools differ.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from datasets import load_dataset

if TYPE_CHECKING:
    from pathlib import Path

DATASET_KEYS = {
    "path", "ds_type", "type", "field_messages", "field_tools", "message_property_mappings", "roles_to_train",
    "train_on_eos", "chat_template",
}  # fmt: skip
TAKEN_OVER = ("role", "content", "tool_calls", "tool_call_id", "name")


def load(config: Path, cache: Path) -> list[dict[str, Any]]:
    """Return the messages and tools of every row, as passed to the tokenizer's chat template."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    assert settings["chat_template"].startswith("tokenizer_default")
    (dataset,) = settings["datasets"]
    assert dataset.keys() <= DATASET_KEYS
    assert (dataset["type"], dataset["ds_type"], dataset["train_on_eos"]) == ("chat_template", "json", "turn")
    assert dataset["roles_to_train"] == ["assistant"]
    rows = load_dataset("json", data_files=dataset["path"], split="train", cache_dir=str(cache))
    mapped = {"role": "role", "content": "content", **dataset["message_property_mappings"]}
    loaded = []
    for row in rows:
        messages = [_message(given, mapped) for given in row[dataset["field_messages"]]]
        loaded.append({"messages": messages, "tools": row.get(dataset["field_tools"]) or None})
    return loaded


def _message(given: dict[str, Any], mapped: dict[str, str]) -> dict[str, Any]:
    names = {**{name: name for name in TAKEN_OVER}, **mapped}
    message = {name: given[key] for name, key in names.items() if given.get(key) is not None}
    for call in message.get("tool_calls", []):
        arguments = call["function"]["arguments"]
        call["function"]["arguments"] = json.loads(arguments) if isinstance(arguments, str) else arguments
        assert isinstance(call["function"]["arguments"], dict)
    return message
