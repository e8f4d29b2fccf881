"""Schemas of a scores artefact: one column per signal (docs/methods.md), in corpus order.

Directions: a larger ``cds`` is more degraded; a larger ``don`` is better calibrated; a smaller ``nod`` is better.
"""

import pyarrow as pa

SCORE_VERSION = 2
"""Version of the signals, raised manually when a value changes; part of artefact ids and of cached rows."""

SCORES = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("cds", pa.float32()),
        pa.field("don", pa.float64()),
        pa.field("nod", pa.float64()),
        pa.field("nll_original", pa.float32()),
        pa.field("nll_compressed", pa.float32()),
        pa.field("entropy", pa.float32()),
        pa.field("el2n", pa.float32()),
        pa.field("ifd", pa.float32()),
        pa.field("n_prompt_tokens", pa.int32(), nullable=False),
        pa.field("n_response_tokens", pa.int32(), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
        pa.field("positive_excess", pa.float32()),
        pa.field("unlikely_share", pa.float32()),
    ]
)
"""Main table. A signal is null where it was not computed: ``cds`` and ``nll_original`` without a pair, ``ifd`` unless
requested, and all of them where ``status`` is not ``ok``. ``status`` is ``ok``, ``no_response_tokens`` or
``non_finite:<signal>``. For a single model, ``nll_compressed`` is that model's. Scores made before there were
``positive_excess`` and ``unlikely_share`` have no such columns; their ids are the same."""

UNLIKELY_NLL = 4.0
"""Nats above which a token is unlikely to the original (probability below 1.8 %): what it could not do, no training on
the token brings back."""

IMPORTED = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("signal", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
"""Side table ``imported`` of a scores artefact of `curate import-scores`: imported values, finite, one row per signal
and example that has one. Such an artefact has no main table."""

SIGNALS: tuple[str, ...] = (
    *("cds", "don", "nod", "nll_original", "nll_compressed", "entropy", "el2n", "ifd"),
    *("positive_excess", "unlikely_share"),
)

UNITS: dict[str, str] = {
    "cds": "nats, [0, ln 2], larger = more degraded",
    "don": "weight norm, signed, larger = better",
    "nod": "weight norm, >= 0, smaller = better",
    "nll_original": "nats per token, >= 0",
    "nll_compressed": "nats per token, >= 0",
    "entropy": "nats, [0, ln V]",
    "el2n": "[0, sqrt 2]",
    "ifd": "ratio, > 0",
    "positive_excess": "nats per token, >= 0",
    "unlikely_share": "share of tokens, [0, 1]",
}
