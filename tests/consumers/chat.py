"""Checks messages as chat templates, TRL and quantisers expect them, written from documentation, not the exporter.

Sources: "Dataset formats and types", TRL documentation (https://huggingface.co/docs/trl/dataset_formats): a
conversational language-modelling row has ``messages``, tool calls stand in ``tool_calls`` as type and function with
name and arguments, results of tools have the role ``tool``, and ``tools`` is a list of JSON schemas. "Tool use",
transformers documentation (https://huggingface.co/docs/transformers/chat_extras): arguments are an object, not text.
"Chat templates" there: messages are role and content.
"""

from __future__ import annotations

from typing import Any

TEMPLATE = (
    "{% if tools %}<|tools|>{% for tool in tools %}{{ tool.function.name }} {% endfor %}{% endif %}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<call>{{ call.function.name }} {{ call.function.arguments | tojson }}"
    "</call>{% endfor %}{% endfor %}"
)
"""A small chat template that fails on undefined values as common templates do."""


def check(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> None:
    """Fail unless a chat template can render `messages`."""
    assert messages
    called = False
    for position, message in enumerate(messages):
        assert message["role"] in ("system", "user", "assistant", "tool"), message
        assert isinstance(message["content"], str), message
        assert message["role"] != "system" or position == 0
        if message["role"] == "tool":
            assert called, "a result before any call"
        for call in message.get("tool_calls") or []:
            called = True
            assert message["role"] == "assistant"
            assert call["type"] == "function"
            assert isinstance(call["function"]["name"], str)
            assert isinstance(call["function"]["arguments"], dict), call
    assert messages[-1]["role"] == "assistant", "nothing to learn at the end"
    for tool in tools or []:
        assert tool["type"] == "function"
        assert isinstance(tool["function"]["name"], str)
        assert isinstance(tool["function"].get("parameters", {}), dict)
