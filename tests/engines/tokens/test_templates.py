"""Supervised tokens are all assistant turns with their end-of-turn marker, in every kind of template."""

from __future__ import annotations

import numpy as np
import pytest
from byte_tokenizer import byte_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from curate.engines.tokens.templates import Encoded, Template
from curate.schemas.corpus import Role, Turn
from curate.schemas.errors import InputError, UsageError

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{% for message in messages %}{% if message.role == 'user' %}[Q] {{ message.content }} [/Q]"
    "{% elif message.role == 'assistant' %} {{ message.content }} </s>"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)
REWRITES = (
    "{{ messages | length }} turns{% for message in messages %}\n{% if message.role == 'assistant' %}"
    "A:{% generation %}{{ message.content }}</s>{% endgeneration %}{% else %}Q:{{ message.content }}{% endif %}"
    "{% endfor %}"
)
COUNTS = "{{ messages | length }} turns{% for message in messages %}\n{{ message.content }}{% endfor %}"
DATED = "{{ strftime_now('%d %B') }}\n" + CHATML

USER: Role = "user"
ASSISTANT: Role = "assistant"
TWO_EXCHANGES = [Turn(USER, "one?"), Turn(ASSISTANT, "1"), Turn(USER, "two?"), Turn(ASSISTANT, "2, twö")]


def supervised_text(tokenizer: PreTrainedTokenizerFast, encoded: Encoded) -> str:
    return str(tokenizer.decode(encoded.ids[encoded.supervised].tolist()))


def full_text(tokenizer: PreTrainedTokenizerFast, encoded: Encoded) -> str:
    return str(tokenizer.decode(encoded.ids.tolist()))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, "1</s>2, twö</s>"),
        (CHATML, "1<|im_end|>2, twö<|im_end|>"),
        (NO_SYSTEM, "1 </s>2, twö </s>"),
        (REWRITES, "1</s>2, twö</s>"),
        (DATED, "1<|im_end|>2, twö<|im_end|>"),
    ],
    ids=["plain", "chatml", "no-system", "markers", "dated"],
)
def test_all_assistant_turns_and_their_ends_are_supervised(template: str | None, expected: str) -> None:
    tokenizer = byte_tokenizer(template)
    encoded = Template(tokenizer).encode(TWO_EXCHANGES)
    assert supervised_text(tokenizer, encoded) == expected
    assert not encoded.supervised[0]


def test_the_plain_layout_is_as_documented() -> None:
    tokenizer = byte_tokenizer()
    turns = [Turn("system", "Be kind."), Turn(USER, "Hi"), Turn(ASSISTANT, "Hello"), Turn("tool", "3"),
             Turn(ASSISTANT, "three")]  # fmt: skip
    encoded = Template(tokenizer).encode(turns, '[{"name": "count"}]')
    assert full_text(tokenizer, encoded) == (
        '### Tools:\n[{"name": "count"}]\n\n### System:\nBe kind.\n\n### Instruction:\nHi\n\n'
        "### Response:\nHello</s>\n\n### Tool result:\n3\n\n### Response:\nthree</s>"
    )
    assert supervised_text(tokenizer, encoded) == "Hello</s>three</s>"


def test_the_opening_token_is_added_once_if_the_tokenizer_adds_one() -> None:
    opening = byte_tokenizer(opens=True)
    encoded = Template(opening).encode(TWO_EXCHANGES)
    assert encoded.ids[0] == opening.bos_token_id
    assert (encoded.ids == opening.bos_token_id).sum() == 1
    assert byte_tokenizer().bos_token_id not in Template(byte_tokenizer()).encode(TWO_EXCHANGES).ids
    again = Template(byte_tokenizer("<s>" + CHATML, opens=True)).encode(TWO_EXCHANGES)
    assert (again.ids == opening.bos_token_id).sum() == 1


def test_a_template_that_rejects_roles_gets_a_flattened_conversation() -> None:
    tokenizer = byte_tokenizer(NO_SYSTEM)
    turns = [Turn("system", "Be kind."), Turn(USER, "Hi"), Turn(ASSISTANT, "Hello"), Turn("tool", "3"),
             Turn(ASSISTANT, "three")]  # fmt: skip
    encoded = Template(tokenizer).encode(turns)
    assert encoded.error is None
    assert full_text(tokenizer, encoded) == "[Q] Be kind.\n\nHi [/Q] Hello </s>[Q] 3 [/Q] three </s>"
    assert supervised_text(tokenizer, encoded) == "Hello </s>three </s>"


def test_a_template_whose_turns_cannot_be_located_is_rejected() -> None:
    with pytest.raises(InputError, match="cannot be located; give --template plain"):
        Template(byte_tokenizer(COUNTS))
    assert Template(byte_tokenizer(COUNTS), "plain").name == "plain"
    with pytest.raises(InputError, match="no chat template; give --template plain"):
        Template(byte_tokenizer(), "chat")
    with pytest.raises(InputError, match="fails on one question"):
        Template(byte_tokenizer("{{ raise_exception('never') }}"))


def test_one_failing_conversation_does_not_affect_the_others() -> None:
    picky = CHATML + "{% if 'forbidden' in messages[0].content %}{{ raise_exception('a word') }}{% endif %}"
    tokenizer = byte_tokenizer(picky)
    bad = [Turn(USER, "forbidden"), Turn(ASSISTANT, "no")]
    results = Template(tokenizer).encode_many([TWO_EXCHANGES, bad, TWO_EXCHANGES])
    assert [one.error is None for one in results] == [True, False, True]
    assert results[1].error == "a word"
    assert len(results[1].ids) == results[1].n_response == 0


def test_truncation_drops_the_end_and_is_reported() -> None:
    tokenizer = byte_tokenizer()
    full = Template(tokenizer).encode(TWO_EXCHANGES)
    for length in range(2, len(full.ids) + 2):
        cut = Template(tokenizer, max_length=length).encode(TWO_EXCHANGES)
        assert np.array_equal(cut.ids, full.ids[:length])
        assert np.array_equal(cut.supervised, full.supervised[:length])
        assert cut.truncated == (length < len(full.ids))


def test_a_word_merged_with_its_leading_space_is_supervised() -> None:
    words = ["<unk>", "▁###", "▁Instruction:", "▁Response:", "▁add", "▁five", "\n", "five"]
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    template = (
        "{% for message in messages %}{% if message.role == 'user' %}### Instruction: {{ message.content }} "
        "### Response:{% else %} {{ message.content }}{% endif %}{% endfor %}"
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", chat_template=template)
    encoded = Template(tokenizer).encode([Turn(USER, "add"), Turn(ASSISTANT, "five")])
    assert [words[i] for i in encoded.ids[encoded.supervised]] == ["▁five"]


def test_the_digest_depends_on_everything_that_determines_ids_and_mask() -> None:
    base = Template(byte_tokenizer())
    assert base.digest() == Template(byte_tokenizer()).digest()
    others = [
        Template(byte_tokenizer(), max_length=100),
        Template(byte_tokenizer(opens=True)),
        Template(byte_tokenizer(CHATML)),
        Template(byte_tokenizer(CHATML + "{# another #}")),
    ]
    assert len({one.digest() for one in (base, *others)}) == 5


def test_a_template_that_prints_the_date_gives_the_same_tokens_every_day() -> None:
    tokenizer = byte_tokenizer(DATED)
    assert full_text(tokenizer, Template(tokenizer).encode(TWO_EXCHANGES)).startswith("01 January\n<|im_start|>")


def test_named_templates_without_a_default_are_an_error_that_lists_them() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.name_or_path = "/models/named"
    tokenizer.chat_template = {"tool_use": CHATML, "rag": CHATML}
    for kind in ("auto", "chat"):
        with pytest.raises(InputError, match="'/models/named' has the chat templates 'rag', 'tool_use', and none"):
            Template(tokenizer, kind)
    assert Template(tokenizer, "plain").name == "plain"
    tokenizer.chat_template = {"tool_use": COUNTS, "default": CHATML}
    assert supervised_text(tokenizer, Template(tokenizer).encode(TWO_EXCHANGES)) == "1<|im_end|>2, twö<|im_end|>"
    tokenizer.chat_template = 5
    with pytest.raises(InputError, match="is no text but 5"):
        Template(tokenizer)


def test_a_template_without_end_exits_with_an_error_that_names_the_model_folder() -> None:
    tokenizer = byte_tokenizer(
        CHATML + "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    )
    tokenizer.name_or_path = "/models/endless"
    with pytest.raises(InputError, match="model folder '/models/endless' exceeds the limits"):
        Template(tokenizer)
    # The loop depends on a row: the run stops too, because every such row would take as long.
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "range(99999)", "range(99999 if messages|length > 4 else 1)"
    )
    template = Template(tokenizer)
    assert template.encode(TWO_EXCHANGES[:2]).error is None
    with pytest.raises(InputError, match="model folder '/models/endless' exceeds the limits"):
        template.encode([*TWO_EXCHANGES, *TWO_EXCHANGES])


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(UsageError, match="did you mean 'plain'"):
        Template(byte_tokenizer(), "plian")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="give at least 2"):
        Template(byte_tokenizer(), max_length=1)
