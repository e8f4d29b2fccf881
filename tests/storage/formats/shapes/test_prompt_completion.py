"""Preference data: the better answers are read, the prompt is said once, and nothing proposes the rejected ones."""

from pathlib import Path
from typing import Any

import pytest
from references.conversations import examples, write_jsonl

from curate.schemas.errors import InputError
from curate.storage.formats import read_source

USER, BETTER, WORSE = (
    {"role": "user", "content": "Name a fruit."},
    {"role": "assistant", "content": "Apple."},
    {"role": "assistant", "content": "Brick."},
)
SYSTEM = {"role": "system", "content": "s"}
EARLIER = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
ONCE = [("user", "Name a fruit."), ("assistant", "Apple.")]


def turns(tmp_path: Path, row: dict[str, Any], **mapping: str) -> list[tuple[str, str]]:
    write_jsonl(tmp_path / "rows.jsonl", [row])
    (result,) = examples(list(read_source(tmp_path / "rows.jsonl", column_map=mapping)))
    return [(turn.role, turn.content) for turn in result.turns]


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected", "expected"),
    [
        ("Name a fruit.", [USER, BETTER], [USER, WORSE], ONCE),
        ([USER], [USER, BETTER], [USER, WORSE], ONCE),
        ([USER], [BETTER], [WORSE], ONCE),
        ("Name a fruit.", "Apple.", "Brick.", ONCE),
        ("Name a fruit.", [SYSTEM, USER, BETTER], [SYSTEM, USER, WORSE], [("system", "s"), *ONCE]),
        ([SYSTEM, USER], [SYSTEM, USER, BETTER], [SYSTEM, USER, WORSE], [("system", "s"), *ONCE]),
        (
            [*EARLIER, USER], [*EARLIER, USER, BETTER], [*EARLIER, USER, WORSE],
            [("user", "Hi"), ("assistant", "Hello"), *ONCE],
        ),
        ("Name a fruit.", "Name a fruit.\nApple.", "Name a fruit.\nBrick.", ONCE),
        # The rejected answer does not repeat it: the chosen one begins so for its own reasons.
        ("Apple", "Apple pie.", "Brick.", [("user", "Apple"), ("assistant", "Apple pie.")]),
        (
            "Name a fruit.", [{"role": "user", "content": "Name a tree."}, BETTER], [WORSE],
            [("user", "Name a fruit."), ("user", "Name a tree."), ("assistant", "Apple.")],
        ),
    ],
)  # fmt: skip
def test_a_prompt_that_the_chosen_answer_repeats_is_said_once(
    prompt: Any, chosen: Any, rejected: Any, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    assert turns(tmp_path, row, response="chosen") == expected


def test_an_answer_that_begins_like_its_prompt_is_kept_outside_preference_data(tmp_path: Path) -> None:
    row = {"prompt": "def f():", "completion": "def f():\n    pass"}
    assert turns(tmp_path, row) == [("user", "def f():"), ("assistant", "def f():\n    pass")]


@pytest.mark.parametrize(
    ("columns", "hint"),
    [
        (("prompt", "chosen", "rejected"), "--map prompt=prompt --map response=chosen"),
        (("chosen", "rejected"), "--map messages=chosen"),
        (("rejected", "chosen", "id"), "--map messages=chosen"),
        (("question", "chosen", "rejected_response"), "--map prompt=question --map response=chosen"),
        (("title", "body"), "--map prompt=title --map response=body"),
        (("title", "body", "rejected"), "--map prompt=title --map response=body"),
        (("rejected",), "--map prompt=… --map response=…"),
    ],
)
def test_the_hint_of_the_error_never_proposes_rejected_answers(
    columns: tuple[str, ...], hint: str, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [dict.fromkeys(columns, "x")])
    with pytest.raises(InputError) as error:
        list(read_source(tmp_path / "rows.jsonl"))
    assert str(error.value).endswith(hint)


def test_a_chosen_conversation_alone_is_mapped_as_messages(tmp_path: Path) -> None:
    assert turns(tmp_path, {"chosen": [USER, BETTER], "rejected": [USER, WORSE]}, messages="chosen") == ONCE
