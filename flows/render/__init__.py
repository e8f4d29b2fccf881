"""What a verb prints: readable tables on stdout, or JSON with ``--json``. Computes nothing."""

from curate.flows.render.answers import explanation, forgotten, questions, table
from curate.flows.render.comparison import overlap, priced, trial
from curate.flows.render.evaluation import evaluation
from curate.flows.render.models import compression
from curate.flows.render.selection import selection
from curate.flows.render.warehouse import artefact, health, plan, status

__all__ = [
    "artefact",
    "compression",
    "evaluation",
    "explanation",
    "forgotten",
    "overlap",
    "health",
    "plan",
    "priced",
    "questions",
    "selection",
    "status",
    "table",
    "trial",
]
