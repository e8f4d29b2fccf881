"""What a verb prints: readable tables on stdout, or JSON with ``--json``. Computes nothing."""

from curate.flows.render.answers import comparison, explanation, questions, table
from curate.flows.render.models import compression, detected, recovery, recovery_plan
from curate.flows.render.selection import selection
from curate.flows.render.warehouse import artefact, health, plan, status

__all__ = [
    "artefact",
    "comparison",
    "compression",
    "detected",
    "explanation",
    "health",
    "plan",
    "questions",
    "recovery",
    "recovery_plan",
    "selection",
    "status",
    "table",
]
