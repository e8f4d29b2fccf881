"""Corpora in every shape and container, read as one stream of canonical conversations (docs/inputs.md)."""

from curate.storage.formats.reading import read_source
from curate.storage.formats.shapes.detect import SHAPES
from curate.storage.formats.sources import source_digest, source_name

__all__ = ["SHAPES", "read_source", "source_digest", "source_name"]
