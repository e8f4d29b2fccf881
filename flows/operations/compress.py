"""``curate compress``: turns command-line options into a `CompressionRequest`, and reads calibration rows if needed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from curate.flows import progress
from curate.flows.converted_models import converted
from curate.flows.session import open_warehouse
from curate.schemas.errors import UsageError
from curate.storage.warehouse.permissions import files_of_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from curate.schemas.settings import Settings


def compress(settings: Settings, model: str, out: Path, method: str, sparsity: str | None, rows: int) -> dict[str, Any]:
    """Prune `model` into `out` and return the engine's report.

    Parameters
    ----------
    sparsity : str, optional
        ``"0.5"`` a share of the weights, ``"2:4"`` a pattern, ``"2"`` a number of layers for ``blocks``, of experts
        for ``experts`` or of groups of heads for ``heads``; not used by ``sort`` and ``quantise``. By default half
        of the weights.
    rows : int
        Conversations of the corpus to calibrate on.

    Raises
    ------
    UsageError
        If `sparsity` does not fit the method, or a method that calibrates has no corpus.
    """
    amount = _amount(method, sparsity, settings.compress.path)
    from curate.engines.compress import CompressionRequest
    from curate.engines.compress import compress as compress_model
    from curate.engines.models.checkpoints import model_files

    request = CompressionRequest(
        method,  # type: ignore[arg-type]
        **amount,
        **settings.compress.model_dump(),
        calibration_rows=rows,
        max_length=settings.score.max_length,
        template=settings.score.template,
        seed=settings.seed,
        device=settings.score.device,
        dtype=settings.score.dtype,
    )
    if request.needs_calibration and not settings.corpus:
        raise UsageError(f"--method {method} calibrates on data; pass --corpus FILE, or use --method magnitude")
    calibration = list(_calibration(settings)) if request.needs_calibration else None
    warehouse = open_warehouse(settings)
    folder = str(converted(warehouse, model, settings.trust_pickle))
    progress.note(f"compress: {method} on {model} …")
    with files_of_user():
        return compress_model(
            folder, out, request,
            calibration=calibration, trust_remote_code=settings.trust_remote_code, progress=_layer_notes(),
            source_digest=warehouse.digests.files(model_files(folder)),
        )  # fmt: skip


def _layer_notes() -> Callable[[int, int], None]:
    """Return a callback that notes the layers done, at most every ten seconds and at the end."""
    started = last = time.monotonic()

    def layer_done(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= progress.SECONDS_BETWEEN_LINES:
            last = now
            progress.note(f"compress: layer {done} of {total}, {now - started:.0f} s")

    return layer_done


def _amount(method: str, sparsity: str | None, path: str | None) -> dict[str, Any]:
    if method in ("sort", "quantise"):
        return {}
    if method == "blocks" and path is not None:
        if sparsity is not None:
            raise UsageError(f"--path {path!r} and --sparsity {sparsity!r} both say which layers go; give one")
        return {}
    text = sparsity or "0.5"
    if method == "blocks":
        if not text.isdecimal():
            raise UsageError(
                f"--sparsity {text!r} is not a number of layers; --method blocks removes whole layers, for example 2"
            )
        return {"n_blocks": int(text)}
    if method == "heads":
        if not text.isdecimal():
            raise UsageError(
                f"--sparsity {text!r} is not a number of groups; --method heads removes whole groups of heads, for "
                "example 1"
            )
        return {"n_groups": int(text)}
    if method == "experts" and text.isdecimal():
        return {"n_experts": int(text)}
    if ":" in text:
        return {"pattern": text}
    try:
        return {"sparsity": float(text)}
    except ValueError:
        raise UsageError(f"--sparsity {text!r} is neither a share such as 0.5 nor a pattern such as 2:4") from None


def _calibration(settings: Settings) -> Iterator[pa.RecordBatch]:
    """Yield the corpus's conversations; it is ingested into the warehouse if it is not there."""
    from curate.flows import stages
    from curate.flows.session import session

    with session("compress", settings) as run:
        corpus = run.call(stages.ingest, run.warehouse, run.settings)
        yield from run.warehouse.batches("corpus", corpus, columns=["messages"])
