"""Reads corpora of any supported file format and row shape as one stream of conversations (docs/inputs.md).

``containers`` has one module per file format (JSON lines, Parquet, …), ``shapes`` one per row shape (alpaca, sharegpt,
…); `curate.storage.formats.reading` combines them.
"""

from curate.storage.formats.reading import read_source
from curate.storage.formats.shapes.detect import SHAPES
from curate.storage.formats.sources import source_digest, source_name, source_names

__all__ = ["SHAPES", "read_source", "source_digest", "source_name", "source_names"]
