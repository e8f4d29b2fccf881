"""Artefacts: kinds, ids computed from inputs and settings, and manifests.

An artefact id is a digest of the ids of the inputs, the settings that change the content, and the version of the
method. Equal inputs and settings give equal ids, so a finished stage is skipped. Does not access files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Noun = Literal[
    "corpus",
    "tokens",
    "embeddings",
    "clusters",
    "scores",
    "pilots",
    "selection",
    "targets",
    "recovery",
    "evaluation",
    "diagnosis",
]
NOUNS: tuple[Noun, ...] = get_args(Noun)

ID_LENGTH = 16
"""Hexadecimal digits of an artefact id: 64 bits, enough for the artefacts of one warehouse."""


def canonical_json(value: object) -> str:
    """Return the canonical JSON text of `value`: sorted keys, no spaces, no NaN."""
    # Artefact ids are digests of this text: any change to it makes every existing artefact unreachable.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object, length: int = ID_LENGTH) -> str:
    """Return the first `length` hexadecimal digits of the BLAKE2b digest of a JSON-able `value`."""
    # Corpora may hold lone surrogates, which strict UTF-8 rejects.
    return hashlib.blake2b(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:length]


def artefact_id(noun: Noun, version: int, inputs: dict[str, str], settings: dict[str, Any]) -> str:
    """Return the id of the artefact with these inputs and settings.

    Parameters
    ----------
    noun : Noun
        Kind of the artefact.
    version : int
        Version of the method, raised manually when its results change.
    inputs : dict of str to str
        Role to digest or artefact id of every input, for example ``{"corpus": "3f…"}``.
    settings : dict
        The JSON-able settings that change the content, not those that only change the speed.
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
    checksum: str = ""
    """XXH3 checksum (128 bits) of the file's bytes, fast enough for every reading; empty in version 0.1.0."""


@dataclass(frozen=True)
class Manifest:
    """Contents and provenance of an artefact. Written last: without a manifest the artefact does not exist."""

    noun: Noun
    id: str
    version: int
    inputs: dict[str, str]
    settings: dict[str, Any]
    parts: tuple[PartFile, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    """Results of the stage besides its tables: counts, the template used, warnings, model digests."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of Python and of the libraries that can change a number."""
    created: str = ""
    """Time of completion, UTC, ISO 8601."""
    seconds: float = 0.0
    """Wall time over all attempts, in seconds."""
    peak_memory_mb: float = 0.0
    """Largest resident set of the process that finished it, in MiB."""
    sequence: int = 0
    """Place in the order in which the artefacts of the warehouse were finished, from 1; 0 in version 0.1.0."""

    @property
    def age_key(self) -> tuple[int, str, str]:
        """Sorts artefacts from the oldest to the newest; the time decides between those without a number."""
        return (self.sequence, self.created, self.id)

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
