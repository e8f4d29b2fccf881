"""What a verb prints: readable tables on stdout, or JSON with ``--json``. Computes nothing."""

from curate.flows.cli.render.comparison import overlap, priced, trial
from curate.flows.cli.render.evaluation import evaluation
from curate.flows.cli.render.models import compression, detected, recovery, recovery_plan
from curate.flows.cli.render.publishing import exported, reported
from curate.flows.cli.render.queries import explanation, forgotten, questions, table
from curate.flows.cli.render.selection import selection
from curate.flows.cli.render.stability import stability
from curate.flows.cli.render.warehouse import artefact, garbage, health, imported, plan, status

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
