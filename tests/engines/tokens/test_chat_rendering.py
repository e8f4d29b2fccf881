"""Which text of a conversation is supervised under the most used chat templates, and under templates of other kinds."""

from __future__ import annotations

from itertools import groupby

import pytest
from byte_tokenizer import byte_tokenizer
from chat_templates import CHAT_FORMATS, CHATML, CHATML_PROMPT, CHATML_TURN, ChatFormat

from curate.engines.tokens.chat_rendering import ChatRenderer
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn

SINGLE = [Turn("user", "One?"), Turn("assistant", "Uno.")]
MULTI = [*SINGLE, Turn("user", "Two?"), Turn("assistant", "Dos.")]
SYSTEM = [Turn("system", "Be brief."), *MULTI]
CALL = '{"name": "add", "arguments": {"a": 1}}'
TOOLS = '[{"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {}}}]'
CALLING = [Turn("user", "Add."), Turn("assistant", CALL, True), Turn("tool", "3"), Turn("assistant", "Three.")]
THINKING = [
    SINGLE[0], Turn("assistant", "<think>\nHm.\n</think>\n\nUno."),
    MULTI[2], Turn("assistant", "<think>\nOh.\n</think>\n\nDos."),
]  # fmt: skip

every_format = pytest.mark.parametrize("layout", CHAT_FORMATS.values(), ids=CHAT_FORMATS)


def parts(template: str, turns: list[Turn], tools: str | None = None) -> list[tuple[bool, str]]:
    """Return the text in parts that are supervised or not."""
    tokenizer = byte_tokenizer(template)
    encoded = Template(tokenizer, "chat", 100_000).encode(turns, tools)
    assert encoded.error is None
    pairs = groupby(zip(encoded.supervised.tolist(), encoded.ids.tolist(), strict=True), key=lambda pair: pair[0])
    return [(flag, tokenizer.decode([token for _, token in group])) for flag, group in pairs]


def supervised(template: str, turns: list[Turn], tools: str | None = None) -> list[str]:
    return [text for flag, text in parts(template, turns, tools) if flag]


def full(template: str, turns: list[Turn], tools: str | None = None) -> str:
    return "".join(text for _, text in parts(template, turns, tools))


@every_format
def test_one_exchange(layout: ChatFormat) -> None:
    marked = "".join(f"«{text}»" if flag else text for flag, text in parts(layout.template, SINGLE))
    assert marked == layout.single


@every_format
def test_each_turn_of_several_with_its_own_end(layout: ChatFormat) -> None:
    assert supervised(layout.template, MULTI) == ["Uno." + layout.end, "Dos." + layout.end]


@every_format
def test_a_system_text_is_printed_and_not_supervised(layout: ChatFormat) -> None:
    assert full(layout.template, SYSTEM).count("Be brief.") == 1
    assert supervised(layout.template, SYSTEM) == ["Uno." + layout.end, "Dos." + layout.end]


@every_format
def test_calls_of_tools_are_supervised_and_their_results_are_not(layout: ChatFormat) -> None:
    text = full(layout.template, CALLING, TOOLS)
    assert layout.tool_result in text
    assert supervised(layout.template, CALLING, TOOLS) == [CALL + layout.end, "Three." + layout.end]
    if "tools" in layout.template:
        assert '"type": "function"' in text
        assert '"function": {' in text


@every_format
def test_the_visible_part_of_an_answer_with_thoughts_is_supervised(layout: ChatFormat) -> None:
    assert supervised(layout.template, THINKING) == [text + layout.end for text in layout.thoughts]


@pytest.mark.parametrize("thought", ["<think>Hm.</think>Uno.", "Hm.\n</think>\n\nUno.", "<think>\n\nHm.\n</think>Uno."])
def test_a_thought_that_is_laid_out_anew_is_supervised_as_printed(thought: str) -> None:
    turns = [SINGLE[0], Turn("assistant", thought)]
    assert supervised(CHAT_FORMATS["qwen-3"].template, turns) == ["<think>\nHm.\n</think>\n\nUno.<|im_end|>"]
    assert supervised(CHAT_FORMATS["deepseek-r1"].template, turns) == ["Uno.<｜end▁of▁sentence｜>"]


def test_an_answer_of_which_nothing_is_visible_is_not_supervised() -> None:
    turns = [SINGLE[0], Turn("assistant", "<think>Hm.</think>"), *MULTI[2:]]
    assert supervised(CHAT_FORMATS["deepseek-r1"].template, turns) == ["Dos.<｜end▁of▁sentence｜>"]


ONCE = (
    "{% for m in messages %}"
    + CHATML_TURN
    + "{% endfor %}"
    + CHATML_PROMPT.replace("{% endif %}", "{% else %}</s>{% endif %}")
)
ENDLESS = (
    "{% for m in messages %}{% if m.role == 'user' %}[Q]{{ m.content }}[/Q]{% else %}{{ m.content }}"
    "{% endif %}{% endfor %}"
    "{% if not add_generation_prompt %}</s>{% endif %}"
)
BETWEEN = (
    "{% for m in messages %}{% if m.role == 'user' %}<U>{{ m.content }}<A>{% else %}{{ m.content }}"
    "{% if not loop.last %}<|im_end|>{% endif %}{% endif %}{% endfor %}"
)
ALWAYS = ENDLESS.replace("{% if not add_generation_prompt %}</s>{% endif %}", "</s>")
REPLACED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{% if loop.last and not add_generation_prompt %}"
    "</s>{% else %}<|im_end|>{% endif %}{% endfor %}" + CHATML_PROMPT
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (ONCE, ["Uno.<|im_end|>", "Dos.<|im_end|>"]),
        (ENDLESS, ["Uno.", "Dos."]),
        (ALWAYS, ["Uno.", "Dos."]),
        (BETWEEN, ["Uno.<|im_end|>", "Dos."]),
        (REPLACED, ["Uno.<|im_end|>", "Dos.</s>"]),
    ],
    ids=["once after the last turn", "no end in the middle", "whatever the prompt", "between turns", "instead"],
)
def test_only_the_own_end_of_a_turn_is_supervised(template: str, expected: list[str]) -> None:
    assert supervised(template, MULTI) == expected


def test_marks_of_the_template_are_used_where_it_has_them() -> None:
    body = "{%- generation -%}{{ m.content.split('</think>')[-1] }}</s>{%- endgeneration -%}"
    marked = (
        "{% for m in messages %}{% if m.role == 'assistant' %}A: "
        + body
        + "!{% else %}Q: {{ m.content }} {% endif %}{% endfor %}"
    )
    assert supervised(marked, MULTI) == ["Uno.</s>", "Dos.</s>"]
    assert full(marked, MULTI) == "Q: One? A:Uno.</s>!Q: Two? A:Dos.</s>!"
    assert supervised(marked, [SINGLE[0], Turn("assistant", "<think>x</think>Uno.")]) == ["Uno.</s>"]
    assert supervised(marked, [SINGLE[0], Turn("assistant", ""), *MULTI[2:]]) == ["Dos.</s>"]
    # The characters that mark the blocks on the way: the turn is located as if there were no blocks.
    assert supervised(marked, [SINGLE[0], Turn("assistant", "\ue0f0Uno.")]) == ["\ue0f0Uno.</s>!"]


def test_contents_that_the_template_changes_keep_their_row() -> None:
    squeezed = CHATML.replace("m.content", "m.content | replace('\\n\\n', '\\n')")
    assert supervised(squeezed, [SINGLE[0], Turn("assistant", "a\n\nb")]) == ["a\nb<|im_end|>"]
    window = CHATML.replace("in messages", "in messages[-3:]")
    assert supervised(window, MULTI) == ["Uno.<|im_end|>", "Dos.<|im_end|>"]


def test_what_identifies_a_template_changes_only_where_it_is_read_in_an_unusual_way() -> None:
    special = {"eos_token": "</s>", "bos_token": "<s>"}

    def added(template: str) -> list[object]:
        source = ChatRenderer(template, special).source()
        assert isinstance(source, list)
        return source[3:]

    usual = set(CHAT_FORMATS) - {"llama-3", "granite", "phi-3"}
    assert [added(CHAT_FORMATS[name].template) for name in sorted(usual)] == [[]] * len(usual)
    assert added(CHAT_FORMATS["llama-3"].template) == [["2025-01-01"]]
    assert added(CHAT_FORMATS["phi-3"].template) == [["ends", "<|end|>"]]
    assert added(CHATML.replace("{{", "{% generation %}{{", 1).replace("}}", "}}{% endgeneration %}", 1)) == [["marks"]]
