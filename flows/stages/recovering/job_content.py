"""What the job of a recovery gets: rows to train on, rows held out, and a description with the rows' lineage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.flows.stages.recovering.group_columns import with_groups
from curate.flows.stages.recovering.heldout import Heldout, conversations, heldout_rows, heldout_source
from curate.flows.stages.recovering.request import request_of
from curate.flows.stages.recovering.targets import targets_lineage, with_targets
from curate.flows.stages.token_counts import counts_of
from curate.storage.warehouse.places import ORIGINAL_CACHE

if TYPE_CHECKING:
    from curate.schemas.artefacts import Manifest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def write_job(warehouse: Warehouse, settings: Settings, selection_id: str, out: Path, job: Path) -> None:
    """Write everything that `curate.engines.job` needs to the folder `job`; it can be copied to another machine."""
    rows, heldout, description = job_of(warehouse, settings, selection_id, out)
    job.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, job / "rows.parquet", write_page_checksum=True)
    pq.write_table(heldout, job / "heldout.parquet", write_page_checksum=True)
    (job / "job.json").write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", "utf-8")


def job_of(
    warehouse: Warehouse, settings: Settings, selection_id: str, out: Path
) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """Return the rows to train on, the rows held out, and the content of ``job.json``."""
    selection = warehouse.manifest("selection", selection_id)
    rows = selected_rows(warehouse, selection)
    if request_of(settings).reweigh_steps is not None:
        rows = with_groups(warehouse, selection, rows)
    corpus = warehouse.manifest("corpus", selection.inputs["corpus"])
    source = heldout_source(warehouse, settings, corpus)
    heldout = heldout_rows(warehouse, settings, selection, source, set(rows["example_id"].to_pylist()))
    description = {
        "kind": "recover",
        "model": settings.compressed,
        "original": settings.original,
        "out": str(out),
        "request": request_of(settings).to_json(),
        "library": library(warehouse, settings),
        "template_digest": _scored_digest(warehouse, selection),
        "lineage": lineage(warehouse, settings, selection, source, rows["example_id"])
        | targets_lineage(warehouse, settings),
    }
    return with_targets(warehouse, settings, rows), heldout, description


def library(warehouse: Warehouse, settings: Settings) -> dict[str, str] | None:
    """Return where originals leave what they say, and this one's digest there, as scoring writes it."""
    from curate.engines.models.checkpoints import model_files

    if settings.original is None or not request_of(settings).asks_original:
        return None
    digest = warehouse.digests.files(model_files(settings.original))
    return {"folder": str(warehouse.root / ORIGINAL_CACHE), "original": digest}


def selected_rows(warehouse: Warehouse, selection: Manifest) -> pa.Table:
    """Return id, turns and tools of the kept rows, first taken first."""
    ledger = warehouse.read("selection", selection.id, columns=["example_id", "rank"])
    rank = ledger["rank"].to_numpy(zero_copy_only=False)
    kept = np.flatnonzero(~np.isnan(rank))
    order = kept[np.argsort(rank[kept], kind="stable")]
    return conversations(warehouse, selection.inputs["corpus"]).take(pa.array(order))


def lineage(
    warehouse: Warehouse, settings: Settings, selection: Manifest, source: Heldout, kept: pa.ChunkedArray
) -> dict[str, Any]:
    """Return what the model card says of where the rows come from."""
    import pyarrow.compute as pc

    corpus = warehouse.manifest("corpus", selection.inputs["corpus"])
    sources = warehouse.read("corpus", corpus.id, "sources", columns=["example_id", "licence"])
    used = sources.filter(pc.is_in(sources["example_id"], value_set=kept.combine_chunks()))
    licences = sorted({licence or "not stated" for licence in used["licence"].to_pylist()})
    # A card travels with the model: names, not the folders of this machine.
    models = {f"{role}_model": _name(getattr(settings, role)) for role in ("compressed", "original")}
    return {
        "selection": selection.id,
        "selected_by": selection.settings["method"],
        "budget": selection.settings["budget"],
        "ledger": selection.facts["reasons"],
        "corpus": corpus.id,
        "files": [_name(name) for name in corpus.facts.get("files", [])],
        "licences": licences,
        "scores": selection.inputs.get("scores", "none"),
        **models,
        "heldout": source.about,
    }


def _name(address: str | None) -> str:
    """Return a hub name as it is, and the last part of a path."""
    if address is None:
        return "not given"
    return Path(address).absolute().name if Path(address).exists() else address


def _scored_digest(warehouse: Warehouse, selection: Manifest) -> str | None:
    """Return the digest of the template that scored or counted the selection's rows, None if none did."""
    counts = counts_of(selection)
    template_digest: str | None = warehouse.manifest(*counts).facts.get("template_digest") if counts else None
    return template_digest
