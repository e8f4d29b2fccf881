"""Schema of the side table ``sketches`` of a scores artefact: one gradient sketch and one mean state per example."""

import pyarrow as pa

SKETCH_SIDE = 64
"""A sketch is a matrix of this many rows and columns."""
SKETCH_NUMBERS = SKETCH_SIDE * SKETCH_SIDE


def sketches_schema(width: int) -> pa.Schema:
    """Return the schema for a model with hidden states of `width` numbers.

    ``sketch`` is the sketched gradient of the row's mean KL divergence with respect to the output layer, scaled to unit
    length, null without a pair; ``sketch_norm`` the length it had. ``state`` is the position-weighted mean of the
    hidden states, unit length. All are null for rows whose status is not ``ok``. float16 holds unit vectors to three
    digits; the lengths themselves can be outside its range.
    """
    return pa.schema(
        [
            pa.field("example_id", pa.string(), nullable=False),
            pa.field("sketch", pa.list_(pa.float16(), SKETCH_NUMBERS)),
            pa.field("sketch_norm", pa.float32()),
            pa.field("state", pa.list_(pa.float16(), width)),
        ]
    )
