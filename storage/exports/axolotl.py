"""Export for axolotl: chat messages as JSON lines, and the YAML configuration that reads them.

Arguments of tool calls are JSON text, as axolotl's documentation advises if tools differ: as objects, the loader would
merge their keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.storage.exports.writing import Destination, write_bytes, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CONFIG = """\
# Merge this into your axolotl configuration. The tokenizer's own chat template renders the turns, and the model is
# trained on every assistant turn.
chat_template: tokenizer_default
datasets:
  - path: {path}
    ds_type: json
    type: chat_template
    field_messages: messages
    field_tools: tools
    message_property_mappings:
      role: role
      content: content
    roles_to_train:
      - assistant
    train_on_eos: turn
"""


def write(to: Destination, records: Iterable[Any]) -> list[Path]:
    """Write the data file and the configuration; return both paths."""
    data, config = to.folder / f"{to.name}.jsonl", to.folder / f"{to.name}.axolotl.yml"
    write_lines(data, records)
    quoted = "'" + str(data.absolute()).replace("'", "''") + "'"
    write_bytes(config, _CONFIG.format(path=quoted).encode())
    return [data, config]
