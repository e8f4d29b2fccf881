"""Arrow schemas of the tables of all artefacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.clusters import CLUSTERS, CONCEPTS, CURVE, LANDMARKS, TERMS
from curate.schemas.corpus import EXAMPLES, QUARANTINE, SOURCES
from curate.schemas.diagnosis import DIAGNOSES
from curate.schemas.evaluation import RESULTS, SUMMARY
from curate.schemas.pilots import CURVES, LOSSES, PILOTS
from curate.schemas.recovery_metrics import METRICS
from curate.schemas.scores import IMPORTED, SCORES
from curate.schemas.selection import ALLOCATION, LEDGER
from curate.schemas.targets import STATES, TARGETS, TARGETS_SUMMARY
from curate.schemas.token_counts import TOKEN_COUNTS

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.schemas.artefacts import Noun

_SCHEMAS: dict[tuple[str, str], pa.Schema] = {
    ("corpus", "part"): EXAMPLES,
    ("corpus", "sources"): SOURCES,
    ("corpus", "quarantine"): QUARANTINE,
    ("tokens", "part"): TOKEN_COUNTS,
    ("clusters", "part"): CLUSTERS,
    ("clusters", "terms"): TERMS,
    ("clusters", "concepts"): CONCEPTS,
    ("clusters", "curve"): CURVE,
    ("clusters", "landmarks"): LANDMARKS,
    ("scores", "part"): SCORES,
    ("scores", "imported"): IMPORTED,
    ("pilots", "part"): PILOTS,
    ("pilots", "losses"): LOSSES,
    ("pilots", "curves"): CURVES,
    ("selection", "part"): LEDGER,
    ("selection", "allocation"): ALLOCATION,
    ("targets", "part"): TARGETS,
    ("targets", "summary"): TARGETS_SUMMARY,
    ("targets", "states"): STATES,
    ("recovery", "part"): METRICS,
    ("evaluation", "part"): RESULTS,
    ("evaluation", "summary"): SUMMARY,
    ("diagnosis", "part"): DIAGNOSES,
}


def arrow_schema(noun: Noun, table: str) -> pa.Schema | None:
    """Return the schema of a table, or None if it depends on the artefact (embeddings) or the table is unknown."""
    return _SCHEMAS.get((noun, table))
