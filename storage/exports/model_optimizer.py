"""Export for NVIDIA Model-Optimizer: messages as JSON lines, one file a source, and the YAML of its data blend.

``prepare_data_blend.py`` takes files of a data set on the hub. It downloads them to ``raw/OWNER--NAME`` beside the
output folder, and offline uses the files that are there already: this is where they are written.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import UsageError
from curate.storage.exports.shapes import supervised_messages
from curate.storage.exports.writing import write_bytes, write_lines
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from curate.storage.exports.rows import KeptRow
    from curate.storage.exports.writing import Destination

OWNER = "curate"
TOKENS = "n_tokens"
"""Column of a record with its tokens, where the scores of the selection know them."""
_NO_REPOSITORY = re.compile(r"--|\.\.|[-.]$|\.git$")
_HEAD = """\
# Put the student's folder below, then: HF_HUB_OFFLINE=1 python examples/dataset/prepare_data_blend.py --config {file}
# A weight is the share of the selection's {unit} in percent. Add target_tokens: N to prepare the beginning of each file
# only; the whole selection has {total:,} {unit}.
tokenizer: STUDENT
output_dir: {output}
sources:
"""
_SOURCE = """\
  - hf_dataset: {dataset}
    files:
      - {file}
    content_field: messages
    weight: {weight:.6g}
"""


def record(row: KeptRow) -> dict[str, Any]:
    """Return the messages and tools of a row, and its first source."""
    return {"source": row.sources[0], **supervised_messages(row)}


def write(to: Destination, records: Iterable[Any]) -> list[Path]:
    """Write the files of all sources and the configuration of their blend; return the paths.

    Raises
    ------
    UsageError
        If the name is not one of a data set on the hub.
    """
    if _NO_REPOSITORY.search(to.name):
        raise UsageError(f"--name {to.name!r} cannot name a data set; leave out '--' and '..', and end on a letter")
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    tokens: Counter[str] = Counter()
    known = True
    for one in records:
        source = one.pop("source")
        known &= TOKENS in one
        tokens[source] += one.pop(TOKENS, 1)
        rows[source].append(one)
    raw = to.folder / "raw" / f"{OWNER}--{to.name}"
    atomic.make_folder(raw)
    paths = {source: raw / file for source, file in _names(rows).items()}
    for source, path in paths.items():
        write_lines(path, rows[source])
    config = to.folder / f"{to.name}.blend.yml"
    write_bytes(config, _blend(to, config, paths, tokens, "tokens" if known else "rows").encode())
    return [*paths.values(), config]


def _names(sources: Iterable[str]) -> dict[str, str]:
    """Return a distinct plain file name for each source, numbered in their order."""
    plain = {source: re.sub(r"[^A-Za-z0-9_]+", "_", PurePath(source).stem).strip("_") for source in sources}
    return {source: f"{number:03d}_{name or 'source'}.jsonl" for number, (source, name) in enumerate(plain.items(), 1)}


def _blend(to: Destination, config: Path, paths: dict[str, Path], tokens: Counter[str], unit: str) -> str:
    """Return the configuration of the blend."""
    output = "'" + str((to.folder / f"{to.name}_blend").absolute()).replace("'", "''") + "'"
    total = tokens.total()
    text = _HEAD.format(file=config.name, unit=unit, total=total, output=output)
    for source, path in paths.items():
        text += _SOURCE.format(dataset=f"{OWNER}/{to.name}", file=path.name, weight=100 * tokens[source] / total)
    return text
