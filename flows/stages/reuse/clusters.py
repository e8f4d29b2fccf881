"""Extension of clusters to a grown corpus: old rows keep their labels, new rows join those of their nearest landmarks.

Finds an earlier clustering that can be extended, and computes the tables of the extended one. Clusters are fitted again
if there is no clustering with these settings, if rows were removed from the corpus, or if more rows would be assigned
than half of those that were fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.flows.stages.reuse.vectors import as_bytes
from curate.schemas.clusters import CLUSTERS, CURVE, TERMS
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.flows.stages.recipe import Recipe
    from curate.schemas.artefacts import Manifest
    from curate.selectors.clustering.assignment import Landmarks
    from curate.storage.warehouse.warehouse import Warehouse

BASE = "grown_from"
"""Role of the earlier clusters among the inputs."""

LARGEST_GROWTH = 0.5
"""Largest ratio of rows assigned since the fit to rows fitted; a corpus that grew more is fitted again."""


def find_base(warehouse: Warehouse, fresh: Recipe) -> Manifest | None:
    """Return the earlier clusters that can be extended to the corpus of `fresh`, or None.

    They have the same settings, version and encoder, all their rows are in the corpus, and it has not outgrown them. Of
    several candidates the one with most rows is returned, then the newest.
    """
    corpus, embeddings = fresh.inputs["corpus"], fresh.inputs["embeddings"]
    if not (warehouse.has("corpus", corpus) and warehouse.has("embeddings", embeddings)):
        return None
    encoder = encoder_of(warehouse, embeddings)
    n = warehouse.manifest("corpus", corpus).rows()
    candidates = [
        one
        for one in warehouse.list("clusters")
        if (one.version, one.settings, one.facts.get("encoder")) == (fresh.version, fresh.settings, encoder)
        and one.rows() < n <= one.facts["n_fitted"] * (1 + LARGEST_GROWTH)
    ]
    if not candidates:
        return None
    ids = as_bytes(warehouse.read("corpus", corpus, columns=["example_id"])["example_id"])
    for one in sorted(candidates, key=lambda one: (one.rows(), *one.age_key), reverse=True):
        if np.isin(as_bytes(warehouse.read("clusters", one.id, columns=["example_id"])["example_id"]), ids).all():
            return one
    return None


def encoder_of(warehouse: Warehouse, embeddings: str) -> str:
    """Return the digest of the encoder's files and its precision, which together determine the vectors."""
    manifest = warehouse.manifest("embeddings", embeddings)
    return f"{manifest.inputs.get('encoder')}, {manifest.settings.get('dtype')}"


def grown_before(warehouse: Warehouse, fresh: Recipe) -> Manifest | None:
    """Return the newest clusters of this very corpus that were extended from others, or None."""
    for one in warehouse.list("clusters"):
        inputs = {role: artefact_id for role, artefact_id in one.inputs.items() if role != BASE}
        if (one.version, one.settings, inputs) == (fresh.version, fresh.settings, fresh.inputs) and BASE in one.inputs:
            return one
    return None


def grow(warehouse: Warehouse, plan: Recipe) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """Return the tables of the extended clusters by name, and the facts of their manifest."""
    from curate.selectors.clustering.assignment import assign, drift
    from curate.selectors.neighbours.exact import unit_rows
    from curate.selectors.text.concepts import extract

    base = warehouse.manifest("clusters", plan.inputs[BASE])
    old = {name: warehouse.read("clusters", base.id, name) for name in ("part", "terms", "concepts", "curve")}
    landmarks = warehouse.read("clusters", base.id, "landmarks")
    corpus = warehouse.read("corpus", plan.inputs["corpus"], columns=["example_id", "prompt"])
    vectors = read_vectors(warehouse, plan.inputs["embeddings"], corpus["example_id"])
    ids = as_bytes(corpus["example_id"])
    old_row = find(as_bytes(old["part"]["example_id"]), ids)
    new = np.flatnonzero(old_row < 0)
    landmark_vectors = vectors[find(ids, as_bytes(landmarks["example_id"]))]
    known = _landmarks(landmarks, old["part"], landmark_vectors, base.facts["radius"])
    options = plan.settings
    assigned = assign(unit_rows(vectors[new]), known, options["n_neighbours"], options["bandwidth"])
    new_concepts = extract(corpus["prompt"].take(pa.array(new)).to_pylist())
    lists, phrases = _extended_concepts(
        old["concepts"], new_concepts.phrases, new_concepts.offsets, new_concepts.values
    )
    added = pa.table(
        {
            "example_id": corpus["example_id"].take(pa.array(new)),
            "cluster": assigned.labels,
            "membership": assigned.membership,
            # Placeholders: the map is computed below, once all rows have their labels.
            "map_x": np.zeros(len(new), np.float32),
            "map_y": np.zeros(len(new), np.float32),
            "diffusion_x": assigned.coordinates[:, 0],
            "diffusion_y": assigned.coordinates[:, 1],
            "concepts": lists,
        },
        schema=CLUSTERS,
    )
    # `order` puts the old rows and the added ones, concatenated, into corpus order.
    order = old_row.copy()
    order[new] = len(old["part"]) + np.arange(len(new))
    part = _with_map(pa.concat_tables([old["part"], added]).take(pa.array(order)), vectors)
    sizes = np.bincount(part["cluster"].to_numpy(), minlength=len(old["terms"]))
    terms = pa.table([old["terms"]["cluster"], pa.array(sizes), old["terms"]["terms"]], schema=TERMS)
    n_grown, n_far = base.facts["n_grown"] + len(new), base.facts["n_grown_far"] + int(assigned.far.sum())
    facts = {
        **base.facts,
        "n_rows": len(corpus),
        "n_new": len(new),
        "n_grown": n_grown,
        "n_grown_far": n_far,
        "drift": drift(n_far, n_grown),
    }
    return {
        "terms": terms,
        "concepts": phrases,
        "curve": _with_silhouette(old["curve"]),
        "landmarks": landmarks,
        "part": part,
    }, facts


def _with_silhouette(curve: pa.Table) -> pa.Table:
    """Return the curve with every column of today: version 3 did not have the silhouette."""
    if "silhouette" in curve.column_names:
        return curve
    return curve.append_column(CURVE.field("silhouette"), pa.nulls(len(curve), pa.float64()))


def _with_map(part: pa.Table, vectors: NDArray[np.float32]) -> pa.Table:
    """Return the rows with coordinates on a new map of the whole corpus, where discs have the clusters' new sizes."""
    from curate.selectors.clustering.map import cluster_map

    coordinates = cluster_map(vectors, part["cluster"].to_numpy())
    for axis, name in enumerate(("map_x", "map_y")):
        column = pa.array(coordinates[:, axis])
        part = part.set_column(part.schema.get_field_index(name), part.schema.field(name), column)
    return part


def read_vectors(warehouse: Warehouse, embeddings: str, example_id: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return the vectors of a corpus, shape (n, width).

    Raises
    ------
    InputError
        If one is not finite; the message names its example.
    """
    vectors = warehouse.read("embeddings", embeddings, columns=["embedding"])["embedding"].combine_chunks()
    rows: NDArray[np.float32] = vectors.flatten().to_numpy().reshape(len(vectors), -1)
    # NaN and infinity survive a sum, so one value per row is enough to check.
    bad = np.flatnonzero(~np.isfinite(rows.sum(axis=1)))
    if len(bad):
        raise InputError(
            f"the vector of example {example_id[int(bad[0])]} in embeddings {embeddings} is not finite; delete "
            f"{warehouse.folder('embeddings', embeddings)} and embed again, or exclude that row from the corpus"
        )
    return rows


def find(known: NDArray[np.bytes_], wanted: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Return the position of each wanted id in `known`, whose ids are distinct; -1 if it is missing."""
    order = np.argsort(known)
    position = order[np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)]
    return np.where(known[position] == wanted, position, -1)


def _landmarks(table: pa.Table, part: pa.Table, vectors: NDArray[np.float32], radius: float) -> Landmarks:
    from curate.selectors.clustering.assignment import Landmarks
    from curate.selectors.neighbours.exact import unit_rows

    own = part.take(pa.array(find(as_bytes(part["example_id"]), as_bytes(table["example_id"]))))
    shares = table["shares"].combine_chunks()
    return Landmarks(
        unit_rows(vectors),
        table["sigma"].to_numpy(),
        shares.values.to_numpy().reshape(len(table), -1),
        np.column_stack([own["diffusion_x"].to_numpy(), own["diffusion_y"].to_numpy()]),
        radius,
    )


def _extended_concepts(
    old: pa.Table, phrases: list[str], offsets: NDArray[np.int64], values: NDArray[np.int32]
) -> tuple[pa.ListArray, pa.Table]:
    """Return the new rows' concepts by the old ids, new phrases numbered after these, and the table of all concepts."""
    ids = {phrase: number for number, phrase in enumerate(old["phrase"].to_pylist())}
    new_id = np.array([ids.setdefault(phrase, len(ids)) for phrase in phrases], np.int32)
    renumbered = new_id[values] if len(values) else values
    # Concepts are sorted within each row; renumbering has changed their order.
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    ordered = renumbered[np.lexsort((renumbered, owner))]
    table = pa.table({"concept": np.arange(len(ids)), "phrase": list(ids)}, schema=old.schema)
    return pa.ListArray.from_arrays(offsets.astype(np.int32), ordered), table
