"""Grouping of held-out rows by cluster: each gets the cluster of the corpus row nearest to its prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.flows import progress
from curate.schemas.evaluation import ITEMS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

TERMS_SHOWN = 3


def by_cluster(warehouse: Warehouse, settings: Settings, items: pa.Table, clusters_id: str) -> pa.Table:
    """Return the items with the cluster as the group of every held-out row; other kinds keep their groups.

    Parameters
    ----------
    items : Table of ``ITEMS``
    clusters_id : str
        Id of the clusters artefact; its input names the embeddings of the corpus.
    """
    from curate.engines.embed.encode import encode, load_encoder
    from curate.selectors.neighbours.exact import nearest, unit_rows

    embeddings_id = warehouse.manifest("clusters", clusters_id).inputs["embeddings"]
    labels = warehouse.read("clusters", clusters_id, columns=["cluster"])["cluster"].to_numpy()
    corpus_vectors = _vectors(warehouse.read("embeddings", embeddings_id, columns=["embedding"]))
    conversations = pc.is_in(items["kind"], pa.array(["rows", "divergence"]))
    has_turns = pc.greater(pc.list_value_length(items["messages"]), 0)
    rows = np.flatnonzero(pc.and_(conversations, has_turns).to_numpy(zero_copy_only=False))
    prompts = [_prompt(messages) for messages in items["messages"].take(rows).to_pylist()]
    batch = pa.record_batch({"example_id": items["item_id"].take(rows).combine_chunks(), "prompt": prompts})
    encoder = load_encoder(
        settings.embed.encoder, device=settings.embed.device, trust_remote_code=settings.trust_remote_code
    )
    with progress.stage("embed", len(rows)) as advance:
        (vectors,) = encode([batch], encoder, advance)
    neighbours, _ = nearest(unit_rows(_vectors(pa.Table.from_batches([vectors]))), unit_rows(corpus_vectors), 1)
    names = _names(warehouse, clusters_id)
    groups = items["group"].to_pylist()
    for row, cluster in zip(rows, labels[neighbours[:, 0]], strict=True):
        groups[row] = names[int(cluster)]
    return items.set_column(ITEMS.get_field_index("group"), ITEMS.field("group"), pa.array(groups, pa.string()))


def _vectors(table: pa.Table) -> NDArray[np.float32]:
    column = table["embedding"].combine_chunks()
    vectors: NDArray[np.float32] = column.flatten().to_numpy().reshape(len(column), -1)
    return vectors


def _prompt(messages: list[dict[str, str]]) -> str:
    """Return the text of a conversation that is embedded, the same as for a corpus: its user turns."""
    return "\n\n".join(turn["content"] for turn in messages if turn["role"] == "user")


def _names(warehouse: Warehouse, clusters_id: str) -> dict[int, str]:
    """Return the name of every cluster: its number and its top terms."""
    rows = warehouse.read("clusters", clusters_id, "terms").to_pylist()
    return {row["cluster"]: f"{row['cluster']}: {', '.join(row['terms'][:TERMS_SHOWN])}" for row in rows}
