"""Reads the artefacts that a method needs into a pool of parallel arrays, and checks that their rows match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.flows.stages.selecting.groups import read_groups
from curate.flows.stages.selecting.solved import read_solved
from curate.flows.stages.selecting.vectors import VECTORS, read_vectors
from curate.schemas.errors import UsageError, WarehouseError
from curate.schemas.scores import SIGNALS
from curate.schemas.selection import EXCLUDED, FORGOTTEN, Pool
from curate.storage.maintenance.forgotten import forgotten

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.artefacts import Noun
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class Upstream:
    """Ids of the input artefacts of a selection; None if the method does not need one."""

    corpus: str
    embeddings: str | None = None
    clusters: str | None = None
    scores: str | None = None
    pilots: str | None = None
    tokens: str | None = None

    def inputs(self) -> dict[str, str]:
        """Return the ids by noun, without the absent ones."""
        return {noun: value for noun, value in vars(self).items() if value is not None}


def read_pool(
    warehouse: Warehouse, upstream: Upstream, settings: Settings, needs: frozenset[str], options: Any = None
) -> Pool:
    """Return the pool of a corpus.

    Parameters
    ----------
    upstream : Upstream
        Ids of the artefacts to read.
    needs : frozenset of str
        Inputs of the method, of ``embeddings``, ``clusters``, ``concepts``, ``groups``, ``tokens`` and signal names;
        others are not read.
    options : optional
        The method's settings, for ``reference`` (``like``), ``imported`` (``source`` and ``signal``), ``solved``
        (``source``) and ``groups``.

    Raises
    ------
    UsageError
        If a pinned or excluded id is not in the corpus.
    WarehouseError
        If two artefacts do not list the same examples in the same order.
    """
    ids = warehouse.read("corpus", upstream.corpus, columns=["example_id"])["example_id"]
    example_id = ids.to_numpy(zero_copy_only=False).astype(np.str_)
    n = len(example_id)
    eligible, reason = np.ones(n, dtype=np.bool_), np.full(n, "", dtype=object)
    n_prompt = n_response = np.zeros(n, dtype=np.int64)
    signals: dict[str, NDArray[np.float64]] = {}
    counted: Noun = "scores" if upstream.scores is not None else "tokens"
    if (source := upstream.scores or upstream.tokens) is not None:
        rows = _parallel(warehouse, counted, source, ids)
        status = rows["status"].to_numpy(zero_copy_only=False)
        eligible = status == "ok"
        reason = np.where(eligible, "", status).astype(object)
        n_prompt = rows["n_prompt_tokens"].to_numpy().astype(np.int64)
        n_response = rows["n_response_tokens"].to_numpy().astype(np.int64)
        signals = {name: _floats(rows[name]) for name in SIGNALS if _has_values(rows, name)}
    cluster = concepts = embeddings = None
    if upstream.clusters is not None:
        clusters = _parallel(warehouse, "clusters", upstream.clusters, ids)
        cluster = clusters["cluster"].to_numpy()
        lists = clusters["concepts"].combine_chunks()
        concepts = lists.offsets.to_numpy().astype(np.int64), lists.values.to_numpy()
    if upstream.pilots is not None and cluster is not None:
        signals |= _gain_curves(warehouse, upstream.pilots, cluster)
    if "reference" in needs:
        kept = warehouse.read("selection", options.like, columns=["kept"])["kept"]
        signals["reference"] = kept.to_numpy(zero_copy_only=False).astype(np.float64)
    group = read_groups(warehouse, upstream.corpus, ids, options.groups) if "groups" in needs else None
    if "imported" in needs:
        signals["imported"] = _imported(warehouse, options, example_id)
    if "solved" in needs:
        signals["solved"] = read_solved(warehouse, options.source, example_id)
    if upstream.embeddings is not None and "embeddings" in needs:
        vectors = _parallel(warehouse, "embeddings", upstream.embeddings, ids)["embedding"].combine_chunks()
        embeddings = vectors.flatten().to_numpy().reshape(n, -1)
    kind = next((name for name in VECTORS if name in needs), None)
    vectors = read_vectors(warehouse, upstream.scores, kind) if kind and upstream.scores else None
    target = read_vectors(warehouse, options.target, kind) if kind and options and options.target else None
    pinned = _rows_of(settings.select.pin, example_id, "pin")
    excluded = _rows_of(settings.select.exclude, example_id, "exclude")
    reason[excluded & eligible] = EXCLUDED
    is_forgotten = np.isin(example_id, np.asarray(forgotten(warehouse.root), dtype=np.str_))
    reason[is_forgotten] = FORGOTTEN
    if pinned[is_forgotten].any():
        raise UsageError(f"--pin: example {example_id[pinned & is_forgotten][0]} was forgotten; leave it out")
    return Pool(
        example_id=example_id,
        eligible=eligible & ~excluded & ~is_forgotten,
        reason=reason,
        n_prompt_tokens=n_prompt,
        n_response_tokens=n_response,
        signals=signals,
        cluster=cluster,
        concepts=concepts,
        embeddings=embeddings,
        group=group,
        vectors=vectors,
        target=target,
        pinned=pinned if pinned.any() else None,
    )


def _gain_curves(warehouse: Warehouse, pilots: str, cluster: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
    """Return the gain curve of every example's cluster: its ceiling in nats per token, its tau in rows."""
    curves = warehouse.read("pilots", pilots, "curves")
    positions = pc.index_in(pa.array(cluster), value_set=curves["cluster"].combine_chunks())
    return {f"gain_{name}": _floats(curves[name].take(positions)) for name in ("ceiling", "tau")}


def _imported(warehouse: Warehouse, options: Any, example_id: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return a user's own signal for every example, NaN where it has no value."""
    table = warehouse.read("scores", options.source, "imported")
    table = table.filter(pc.equal(table["signal"], options.signal))
    positions = pc.index_in(pa.array(example_id.tolist()), value_set=table["example_id"])
    return _floats(pa.chunked_array([table["value"].combine_chunks().take(positions)]))


def _has_values(scores: pa.Table, name: str) -> bool:
    """Return whether a table holds a signal; scores of an earlier version lack the columns added since."""
    return name in scores.column_names and scores[name].null_count < len(scores)


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a signal as float64 with NaN for null."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _parallel(warehouse: Warehouse, noun: Noun, artefact_id: str, ids: pa.ChunkedArray) -> pa.Table:
    """Return an artefact's main table after checking that its rows are the corpus's examples in the corpus's order."""
    table = warehouse.read(noun, artefact_id)
    if not table["example_id"].equals(ids):
        raise WarehouseError(
            f"{noun} {artefact_id} does not list the examples of its corpus in their order; "
            f"it was changed after it was written: delete {warehouse.folder(noun, artefact_id)} and run again"
        )
    return table


def _rows_of(wanted: tuple[str, ...], example_id: NDArray[np.str_], flag: str) -> NDArray[np.bool_]:
    """Return the mask of the examples with the given ids."""
    mask = np.isin(example_id, np.asarray(wanted, dtype=np.str_))
    if int(mask.sum()) < len(set(wanted)):
        missing = sorted(set(wanted) - set(example_id[mask].tolist()))
        raise UsageError(f"--{flag}: example {missing[0]!r} is not in the corpus; ids are listed by `curate sql`")
    return mask
