"""Short chat templates in the layouts that the most used models publish, each with the text of one exchange.

Every template renders what its model's documentation describes for text, tools and thoughts, no more. In `single`,
``«…»`` encloses what is supervised of "One?" and "Uno."; the date is frozen and ``<s>``, ``</s>`` are the tokenizer's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatFormat:
    """A chat template and what is supervised under it."""

    template: str
    single: str
    end: str
    """What each assistant turn ends with."""
    thoughts: tuple[str, str] = ("<think>\nHm.\n</think>\n\nUno.", "<think>\nOh.\n</think>\n\nDos.")
    """The visible parts of two answers with thoughts."""
    tool_result: str = "3"
    """The result of a tool, as the template prints it."""


RAISE = "{{ raise_exception('roles must alternate') }}"
ALTERNATE = "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}" + RAISE + "{% endif %}"
PROMPT = "{% if add_generation_prompt %}"

CHATML_TURN = "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
CHATML_PROMPT = PROMPT + "{{ '<|im_start|>assistant\n' }}{% endif %}"
CHATML_EXCHANGE = "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n«Uno.<|im_end|>»\n"
CHATML = "{% for m in messages %}" + CHATML_TURN + "{% endfor %}" + CHATML_PROMPT

SYSTEM_FIRST = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set turns = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
)

LLAMA_2 = (
    SYSTEM_FIRST + "{% for m in turns %}" + ALTERNATE + "{% if m.role == 'user' %}{{ bos_token + '[INST] ' }}"
    "{% if loop.first and system %}{{ '<<SYS>>\n' + system + '\n<</SYS>>\n\n' }}{% endif %}"
    "{{ m.content.strip() + ' [/INST]' }}{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)

LLAMA_HEADER = "{{ '<|start_header_id|>' + %s + '<|end_header_id|>\n\n' }}"
LLAMA_3 = (
    SYSTEM_FIRST
    + "{{ bos_token }}"
    + LLAMA_HEADER % "'system'"
    + "{% if tools %}{{ 'Environment: ipython\n' }}{% endif %}"
    "{{ 'Cutting Knowledge Date: December 2023\nToday Date: ' + strftime_now('%d %b %Y') + '\n\n' + system }}<|eot_id|>"
    "{% for m in turns %}{% if m.role == 'user' and loop.first and tools %}"
    + LLAMA_HEADER
    % "'user'"
    + "{% for t in tools %}{{ t | tojson(indent=4) + '\n\n' }}{% endfor %}"
    "{{ m.content | trim + '<|eot_id|>' }}{% else %}"
    + LLAMA_HEADER % "('ipython' if m.role == 'tool' else m.role)"
    + "{{ m.content | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
    + PROMPT
    + LLAMA_HEADER % "'assistant'"
    + "{% endif %}"
)

# Tools and the system text stand before the last question, so that no text begins with the text of its first turns.
MISTRAL = (
    SYSTEM_FIRST + "{{ bos_token }}{% set ns = namespace(last=-1) %}"
    "{% for m in turns %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in turns %}{% if m.role == 'user' %}{% if loop.index0 == ns.last and tools %}"
    "{{ '[AVAILABLE_TOOLS] ' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{% endif %}{{ '[INST] ' }}"
    "{% if loop.index0 == ns.last and system %}{{ system + '\n\n' }}{% endif %}{{ m.content + '[/INST]' }}"
    "{% elif m.role == 'tool' %}{{ '[TOOL_RESULTS] {\"content\": ' + m.content + '}[/TOOL_RESULTS]' }}"
    "{% else %}{{ ' ' + m.content | trim + eos_token }}{% endif %}{% endfor %}"
)

GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}"
    + ALTERNATE
    + "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' "
    "+ m.content | trim + '<end_of_turn>\n' }}{% endfor %}" + PROMPT + "{{ '<start_of_turn>model\n' }}{% endif %}"
)

PHI_3 = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    + PROMPT
    + "{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)

QWEN_TOOLS = (
    "{% if tools %}{{ '\n\n# Tools\n\n<tools>' }}{% for t in tools %}{{ '\n' + t | tojson }}{% endfor %}"
    "{{ '\n</tools>' }}"
    "{% endif %}"
)
QWEN_TOOL_TURN = (
    "{% elif m.role == 'tool' %}{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}"
    "{% endif %}{{ '\n<tool_response>\n' + m.content + '\n</tool_response>' }}"
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}"
)
QWEN_2_5 = (
    "{{ '<|im_start|>system\n' + (messages[0].content if messages[0].role == 'system' else 'You are Qwen.') }}"
    + QWEN_TOOLS
    + "{{ '<|im_end|>\n' }}{% for m in messages %}{% if m.role == 'system' and loop.first %}"
    + QWEN_TOOL_TURN
    + "{% else %}"
    + CHATML_TURN
    + "{% endif %}{% endfor %}"
    + CHATML_PROMPT
)

QWEN_3 = (
    "{% if tools %}{{ '<|im_start|>system\n' + (messages[0].content if messages[0].role == 'system' else '') }}"
    + QWEN_TOOLS
    + "{{ '<|im_end|>\n' }}{% elif messages[0].role == 'system' %}"
    "{{ '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{% endif %}"
    "{% set ns = namespace(last=messages | length - 1, looking=true) %}{% for m in messages[::-1] %}"
    "{% if ns.looking and m.role == 'user' and not m.content.startswith('<tool_response>') %}"
    "{% set ns.looking = false %}{% set ns.last = messages | length - loop.index %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role == 'system' and loop.first %}{% elif m.role == 'assistant' %}"
    "{% set text = m.content %}{% set thought = '' %}{% if '</think>' in text %}"
    "{% set thought = text.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}{{ '<|im_start|>assistant\n' }}"
    "{% if loop.index0 > ns.last and (loop.last or thought) %}"
    "{{ '<think>\n' + thought.strip('\n') + '\n</think>\n\n' }}"
    "{% endif %}{{ text + '<|im_end|>\n' }}"
    + QWEN_TOOL_TURN
    + "{% else %}"
    + CHATML_TURN
    + "{% endif %}{% endfor %}"
    + CHATML_PROMPT
)

DEEPSEEK_R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% elif m.role == 'assistant' %}"
    "{% set text = m.content.split('</think>')[-1] if '</think>' in m.content else m.content %}"
    "{{ '<｜Assistant｜>' + text + '<｜end▁of▁sentence｜>' }}{% elif m.role == 'tool' %}"
    "{{ '<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>' + m.content }}"
    "{{ '<｜tool▁output▁end｜><｜tool▁outputs▁end｜>' }}"
    "{% endif %}{% endfor %}" + PROMPT + "{{ '<｜Assistant｜><think>\n' }}{% endif %}"
)

VICUNA = (
    SYSTEM_FIRST
    + "{{ bos_token + (system or 'A chat between a user and an assistant.') + ' ' }}{% for m in turns %}"
    + ALTERNATE
    + "{% if m.role == 'user' %}{{ 'USER: ' + m.content.strip() + ' ' }}{% else %}"
    "{{ 'ASSISTANT: ' + m.content.strip() + eos_token }}{% endif %}{% endfor %}"
    + PROMPT
    + "{{ 'ASSISTANT:' }}{% endif %}"
)

ZEPHYR = (
    "{% for m in messages %}{% if m.role in ['system', 'user', 'assistant'] %}"
    "{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endif %}{% endfor %}"
    + PROMPT
    + "{{ '<|assistant|>\n' }}{% endif %}"
)

GRANITE = (
    SYSTEM_FIRST + "{{ '<|start_of_role|>system<|end_of_role|>' }}{% if system %}{{ system }}{% else %}"
    "{{ 'Knowledge Cutoff Date: April 2024.\nToday\\'s Date: ' + strftime_now('%B %d, %Y') + '.' }}{% endif %}"
    "{{ '<|end_of_text|>\n' }}{% if tools %}"
    "{{ '<|start_of_role|>tools<|end_of_role|>' + tools | tojson(indent=4) + '<|end_of_text|>\n' }}{% endif %}"
    "{% for m in turns %}"
    "{{ '<|start_of_role|>' + ('tool_response' if m.role == 'tool' else m.role) + '<|end_of_role|>' "
    "+ m.content + '<|end_of_text|>\n' }}{% endfor %}"
    + PROMPT
    + "{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}"
)

SMOLLM2 = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou are SmolLM.<|im_end|>\n' }}{% endif %}" + CHATML
)

LLAMA_SYSTEM = (
    "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: 01 Jan 2025\n\n<|eot_id|>"
)
LLAMA_EXCHANGE = (
    "<|start_header_id|>user<|end_header_id|>\n\nOne?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n«Uno.<|eot_id|>»"
)
GRANITE_SINGLE = (
    "<|start_of_role|>system<|end_of_role|>Knowledge Cutoff Date: April 2024.\nToday's Date: January 01, 2025."
    "<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>One?<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>«Uno.<|end_of_text|>»\n"
)
EMPTY_THOUGHT = CHATML_EXCHANGE.replace("«", "<think>\n\n</think>\n\n«")

CHAT_FORMATS = {
    "chatml": ChatFormat(CHATML, CHATML_EXCHANGE, "<|im_end|>"),
    "llama-2": ChatFormat(LLAMA_2, "<s>[INST] One? [/INST] «Uno. </s>»", " </s>"),
    "llama-3": ChatFormat(LLAMA_3, LLAMA_SYSTEM + LLAMA_EXCHANGE, "<|eot_id|>"),
    "mistral": ChatFormat(MISTRAL, "<s>[INST] One?[/INST] «Uno.</s>»", "</s>", tool_result='{"content": 3}'),
    "gemma": ChatFormat(
        GEMMA,
        "<s><start_of_turn>user\nOne?<end_of_turn>\n<start_of_turn>model\n«Uno.<end_of_turn>»\n",
        "<end_of_turn>",
    ),
    "phi-3": ChatFormat(PHI_3, "<|user|>\nOne?<|end|>\n<|assistant|>\n«Uno.<|end|>»\n</s>", "<|end|>"),
    "qwen-2.5": ChatFormat(
        QWEN_2_5, "<|im_start|>system\nYou are Qwen.<|im_end|>\n" + CHATML_EXCHANGE, "<|im_end|>",
        tool_result="<tool_response>\n3\n</tool_response>",
    ),
    "qwen-3": ChatFormat(
        QWEN_3, EMPTY_THOUGHT, "<|im_end|>", ("Uno.", "<think>\nOh.\n</think>\n\nDos."),
        "<tool_response>\n3\n</tool_response>",
    ),
    "deepseek-r1": ChatFormat(
        DEEPSEEK_R1, "<s><｜User｜>One?<｜Assistant｜>«Uno.<｜end▁of▁sentence｜>»",
        "<｜end▁of▁sentence｜>", ("Uno.", "Dos."),
    ),
    "vicuna": ChatFormat(
        VICUNA, "<s>A chat between a user and an assistant. USER: One? ASSISTANT: «Uno.</s>»", "</s>"
    ),
    "zephyr": ChatFormat(ZEPHYR, "<|user|>\nOne?</s>\n<|assistant|>\n«Uno.</s>»\n", "</s>"),
    "granite": ChatFormat(GRANITE, GRANITE_SINGLE, "<|end_of_text|>"),
    "smollm2": ChatFormat(SMOLLM2, "<|im_start|>system\nYou are SmolLM.<|im_end|>\n" + CHATML_EXCHANGE, "<|im_end|>"),
}  # fmt: skip
