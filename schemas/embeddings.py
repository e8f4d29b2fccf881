"""Schema of an embeddings artefact: one unit vector per example, in corpus order."""

import pyarrow as pa


def embeddings_schema(width: int) -> pa.Schema:
    """Return the schema of the main table for an encoder of `width` dimensions."""
    return pa.schema(
        [
            pa.field("example_id", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), width), nullable=False),
        ]
    )
