"""Prints the results of the verbs: tables on stdout, or JSON with ``--json``.

Each function is given a finished result and prints it; nothing is computed or read here.
"""

from curate.flows.cli.render.comparison import comparison, comparison_plan, overlap
from curate.flows.cli.render.diagnosis import experts, layers, paths, wordings
from curate.flows.cli.render.evaluation import evaluation
from curate.flows.cli.render.models import compression, detected, recovery, recovery_plan
from curate.flows.cli.render.publishing import exported, reported
from curate.flows.cli.render.queries import explanation, forgotten, named_queries, table
from curate.flows.cli.render.sampling import targets
from curate.flows.cli.render.selection import selection
from curate.flows.cli.render.stability import stability
from curate.flows.cli.render.warehouse import artefact, garbage, health, imported, plan, repaired, status

__all__ = [
    "artefact",
    "compression",
    "detected",
    "evaluation",
    "experts",
    "explanation",
    "exported",
    "forgotten",
    "garbage",
    "layers",
    "health",
    "imported",
    "overlap",
    "plan",
    "comparison_plan",
    "named_queries",
    "paths",
    "recovery",
    "recovery_plan",
    "repaired",
    "reported",
    "selection",
    "stability",
    "status",
    "table",
    "targets",
    "comparison",
    "wordings",
]
