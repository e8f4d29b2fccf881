"""What a verb prints: readable tables on stdout, or JSON with ``--json``. Computes nothing."""

from curate.flows.render.answers import explanation, forgotten, questions, table
from curate.flows.render.comparison import overlap, priced, trial
from curate.flows.render.evaluation import evaluation
from curate.flows.render.models import compression
from curate.flows.render.publishing import exported, reported
from curate.flows.render.selection import selection
from curate.flows.render.warehouse import artefact, garbage, health, imported, plan, status

__all__ = [
    "artefact",
    "compression",
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
    "reported",
    "selection",
    "status",
    "table",
    "trial",
]
