"""Roles of many tools are known, and others are named by --map."""

from pathlib import Path

import pytest
from references.conversations import examples, problems, write_jsonl

from curate.schemas.errors import UsageError
from curate.storage.formats import read_source


def row(*roles: str) -> dict[str, object]:
    return {"messages": [{"role": role, "content": f"{i}"} for i, role in enumerate(roles)]}


@pytest.mark.parametrize("name", ["bot", "AI", "Bing", "bard", "claude", "ChatGPT", "model", "LLM", "chatbot"])
def test_names_of_the_assistant(name: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [row("prompter", name)])
    (result,) = examples(list(read_source(tmp_path / "a.jsonl")))
    assert [turn.role for turn in result.turns] == ["user", "assistant"]


@pytest.mark.parametrize("answer", ["tool_response", "tool-response", "function-response", "Tool Result", "ipython"])
def test_names_of_calls_and_results(answer: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [row("user", "function-call", answer, "gpt")])
    (result,) = examples(list(read_source(tmp_path / "a.jsonl")))
    assert [turn.role for turn in result.turns] == ["user", "assistant", "tool", "assistant"]
    assert [turn.tool_call for turn in result.turns] == [False, True, False, False]


def test_other_names_are_mapped(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [row("client", "agent"), row("client", "Help-Desk"), row("client", "narrator")])
    result = list(
        read_source(tmp_path / "a.jsonl", column_map={"role.assistant": "agent, help desk", "role.user": "client"})
    )
    assert len(examples(result)) == 2
    (problem,) = problems(result)
    assert "unknown role 'narrator'" in problem.reason
    assert "--map role.assistant=NAME" in problem.reason


def test_lists_of_both_names_are_read_in_one_file(tmp_path: Path) -> None:
    other = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "messages": None}
    write_jsonl(tmp_path / "a.jsonl", [row("user", "assistant"), other, row("user", "assistant")])
    assert len(examples(list(read_source(tmp_path / "a.jsonl")))) == 3


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"role.asistant": "bot"}, "did you mean 'assistant'?"),
        ({"role.assistant": "x", "role.user": "x"}, "gives 'x' the roles assistant and user"),
    ],
)
def test_wrong_mappings_of_roles_are_usage_errors(mapping: dict[str, str], message: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [row("user", "assistant")])
    with pytest.raises(UsageError) as error:
        read_source(tmp_path / "a.jsonl", column_map=mapping)
    assert message in str(error.value)
