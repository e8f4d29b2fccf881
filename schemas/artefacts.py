"""What an artefact is: a noun, an id made from its content's causes, and the manifest that makes it exist.

An artefact id is a digest of the ids of its inputs, of the settings that change its content, and of the version of
the method. The same causes give the same id, so that a stage that is done is skipped. Knows nothing of files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Noun = Literal["corpus", "embeddings", "clusters", "scores", "pilots", "selection", "recovery", "evaluation"]
NOUNS: tuple[Noun, ...] = get_args(Noun)

ID_LENGTH = 16
"""Hexadecimal digits of an artefact id: 64 bits, plenty for the artefacts of one warehouse."""


def canonical_json(value: object) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object, length: int = ID_LENGTH) -> str:
    """Return the first `length` hexadecimal digits of the BLAKE2b digest of a JSON-able `value`."""
    return hashlib.blake2b(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:length]


def artefact_id(noun: Noun, version: int, inputs: dict[str, str], settings: dict[str, Any]) -> str:
    """Return the id of the artefact that `settings` make from `inputs`.

    Parameters
    ----------
    noun : Noun
        What is made.
    version : int
        Version of the method, raised by hand when its results change.
    inputs : dict of str to str
        Role to digest or artefact id of everything that was read, for example ``{"corpus": "3f…"}``.
    settings : dict
        The JSON-able settings that change the content; not those that only change how fast it is made.
    """
    return digest({"noun": noun, "version": version, "inputs": inputs, "settings": settings})


@dataclass(frozen=True)
class PartFile:
    """One immutable Parquet file of an artefact."""

    table: str
    """Table the rows belong to: ``"part"`` for the artefact's main table, else a side table's name."""
    file: str
    """File name inside the artefact's folder."""
    rows: int
    digest: str
    """BLAKE2b digest of the file's bytes."""


@dataclass(frozen=True)
class Manifest:
    """What an artefact holds and how it came to be. Written last: without it the artefact is not there."""

    noun: Noun
    id: str
    version: int
    inputs: dict[str, str]
    settings: dict[str, Any]
    parts: tuple[PartFile, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    """What the stage found out and a reader may want: counts, the template used, warnings, model digests."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of Python and of the libraries that can change a number."""
    created: str = ""
    """When it was finished, UTC, ISO 8601."""
    seconds: float = 0.0
    """Wall time over all attempts, in seconds."""
    peak_memory_mb: float = 0.0
    """Largest resident set of the process that finished it, in MiB."""

    def rows(self, table: str = "part") -> int:
        """Return the number of rows of one table."""
        return sum(part.rows for part in self.parts if part.table == table)

    def to_json(self) -> str:
        """Return the manifest as indented JSON text."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Return the manifest that `to_json` wrote."""
        values = json.loads(text)
        values["parts"] = tuple(PartFile(**part) for part in values["parts"])
        return cls(**values)
