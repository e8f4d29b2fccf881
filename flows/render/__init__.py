"""What a verb prints: readable tables on stdout, or JSON with ``--json``. Computes nothing."""

from curate.flows.render.answers import explanation, forgotten, questions, table
from curate.flows.render.comparison import overlap, priced, trial
from curate.flows.render.evaluation import evaluation
from curate.flows.render.models import compression, detected, recovery, recovery_plan
from curate.flows.render.publishing import exported, reported
from curate.flows.render.selection import selection
from curate.flows.render.stability import stability
from curate.flows.render.warehouse import artefact, garbage, health, imported, plan, status

__all__ = [
    "artefact",
    "compression",
    "detected",
    "evaluation",
    "explanation",
    "exported",
    "forgotten",
    "garbage",
    "health",
    "imported",
    "overlap",
    "plan",
    "priced",
    "questions",
    "recovery",
    "recovery_plan",
    "reported",
    "selection",
    "stability",
    "status",
    "table",
    "trial",
]
