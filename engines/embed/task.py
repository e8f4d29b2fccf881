"""Embedding as a task for workers: the name of an encoder that is opened on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from curate.engines.embed.encode import encode, load_encoder
from curate.engines.embed.encoders import encoder_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from curate.engines.embed.encode import Dtype
    from curate.engines.workers.pool import ComputePart, Progress


@dataclass(frozen=True)
class EmbeddingTask:
    """Embeds the prompts of parts; a `curate.engines.workers.pool.TravellingTask`."""

    encoder: str
    """As for `curate.engines.embed.encode.load_encoder`."""
    dtype: Dtype = "float32"
    trust_remote_code: bool = False

    def open(self, device: str) -> tuple[dict[str, Any], ComputePart]:
        """Load the encoder; return the ``width`` of its vectors and the function that embeds a part.

        Raises
        ------
        MissingExtraError, InputError
            As `curate.engines.embed.encode.load_encoder`.
        """
        encoder = load_encoder(self.encoder, device, self.trust_remote_code, self.dtype)

        def embed_part(index: int, batch: pa.RecordBatch, progress: Progress) -> pa.RecordBatch:
            return next(encode([batch], encoder, progress))

        return {"width": encoder.width}, embed_part

    def models(self) -> dict[str, list[Path]]:
        """Return the encoder's files by its name."""
        return {self.encoder: encoder_files(self.encoder)}

    def with_folders(self, folders: Mapping[str, str]) -> EmbeddingTask:
        """Return the task with another folder of the same encoder."""
        return replace(self, encoder=folders.get(self.encoder, self.encoder))
