"""What a verb prints: readable tables on stdout, or JSON with ``--json``. Computes nothing."""

from curate.flows.render.answers import comparison, explanation, forgotten, questions, table
from curate.flows.render.models import compression
from curate.flows.render.publishing import exported, reported
from curate.flows.render.selection import selection
from curate.flows.render.warehouse import artefact, garbage, health, plan, status

__all__ = [
    "artefact",
    "comparison",
    "compression",
    "explanation",
    "exported",
    "forgotten",
    "garbage",
    "health",
    "plan",
    "questions",
    "reported",
    "selection",
    "status",
    "table",
]
