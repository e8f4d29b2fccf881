"""The end of a turn is what it has itself, not what is printed once after the last."""

from __future__ import annotations

import pytest

from curate.engines.tokens.turn_ends import turn_ends

CONTROL = {"<|end|>", "<|return|>", "<|start|>", "<|message|>", "<|user|>", "<|eot|>"}


@pytest.mark.parametrize(
    ("last", "middle", "opening", "prompt", "expected"),
    [
        ("<|eot|>\n", "<|eot|>\n<|user|>\n", "<|user|>\n", "<|bot|>\n", ("<|eot|>",)),
        ("<|end|>\n<|endoftext|>", "<|end|>\n<|user|>\n", "<|user|>\n", "<|assistant|>\n", ("<|end|>",)),
        ("</s>\n</s>", "</s>\n### user:\n", "### user:\n", "### assistant:\n", ("</s>",)),
        ("[/A][END]", "[/A][Q]", "[Q]", "[A]", ("[/A]",)),
        ("STOP once", "STOPPER", "", "", ()),
        ("</s>", "\nUSER: ", "USER: ", "ASSISTANT:", ()),
        ("", "<|end|><U>", "<U>", "", ("<|end|>",)),
        ("", "<|user|>\n", "<|user|>\n", "<|assistant|>\n", ()),
        ("", "<|start|>user\n", "<|start|>system\nx<|start|>user\n", "<|start|>assistant\n", ()),
        (
            "<|return|>", "<|end|><|start|>user<|message|>",
            "<|start|>system<|message|>x<|end|><|start|>user<|message|>",
            "<|start|>assistant", ("<|end|>", "<|return|>"),
        ),
        ("</s>", None, "", "", ("</s>",)),
        ("", None, "", "", ()),
    ],
)  # fmt: skip
def test_ends(last: str, middle: str | None, opening: str, prompt: str, expected: tuple[str, ...]) -> None:
    assert turn_ends(last, middle, opening, prompt, CONTROL) == expected
