"""Figures of targets: what counts as pruned where samples end for other reasons at the same length."""

from __future__ import annotations

import pyarrow as pa

from curate.flows.stages.sampling.figures import counts, summary_rows
from curate.schemas.sections import SampleSettings
from curate.schemas.targets import TARGETS


def test_a_context_that_ends_where_samples_are_compared_leaves_a_mean_length() -> None:
    samples = [
        {"example_id": "a", "number": number, "text": "", "n_tokens": 4, "mean_logp": -1.0, "score": 0.0,
         "accepted": False, "stopped_early": True}
        for number in (1, 2, 3, 4)
    ]  # fmt: skip
    drawn = pa.Table.from_pylist(samples, TARGETS)
    figures = counts(drawn, summary_rows(["a"], drawn), SampleSettings(best_of=4, prune_at=4))
    assert (figures["pruned"], figures["stopped_early"], figures["tokens_always"]) == (2, 4, 16)
