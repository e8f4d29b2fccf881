"""Schemas of a clusters artefact: labels, memberships, map coordinates, concepts, and descriptions of clusters."""

import pyarrow as pa

CLUSTERS = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("membership", pa.float32(), nullable=False),
        pa.field("map_x", pa.float32(), nullable=False),
        pa.field("map_y", pa.float32(), nullable=False),
        pa.field("diffusion_x", pa.float32(), nullable=False),
        pa.field("diffusion_y", pa.float32(), nullable=False),
        pa.field("concepts", pa.list_(pa.int32()), nullable=False),
    ]
)
"""Main table, in corpus order. ``membership`` = H_ik / Σ_k H_ik in [0, 1]; ``map_*`` is the position on the map for
display, ``diffusion_*`` are the first two diffusion coordinates; ``concepts`` are sorted ids into the side table
``concepts``."""

TERMS = pa.schema(
    [
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("terms", pa.list_(pa.string()), nullable=False),
    ]
)
"""Side table ``terms``: one row per cluster, most characteristic terms first."""

CONCEPTS = pa.schema([pa.field("concept", pa.int32(), nullable=False), pa.field("phrase", pa.string(), nullable=False)])
"""Side table ``concepts``: the phrase of each concept id."""

CURVE = pa.schema(
    [
        pa.field("k", pa.int32(), nullable=False),
        pa.field("modularity", pa.float64(), nullable=False),
        pa.field("modularity_std", pa.float64(), nullable=False),
        pa.field("stability", pa.float64(), nullable=False),
        pa.field("silhouette", pa.float64(), nullable=True),
    ]
)
"""Side table ``curve``: held-out modularity per number of clusters (mean and standard deviation over the splits), the
mean adjusted Rand index of the labels between splits, and their mean silhouette, null in clusters of version 3. Empty
if the number of clusters was given."""

LANDMARKS = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("sigma", pa.float64(), nullable=False),
        pa.field("shares", pa.list_(pa.float64()), nullable=False),
    ]
)
"""Side table ``landmarks``: the rows that were clustered, used to assign new rows of a grown corpus. ``sigma``
is the row's scale in cosine distance, ``shares`` its membership in each cluster, adding up to 1."""
