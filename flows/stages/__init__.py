"""The stages of the pipeline, one noun a file (that of diagnoses has a folder); `stage` holds the table of them all.

A stage is a plain function ``stage(warehouse, settings, *input ids) -> artefact id``; a stage whose artefact exists
returns its id at once. Beside it stands its recipe, the pure function that predicts the id.
"""

from curate.flows.stages.clusters import cluster
from curate.flows.stages.comparison_cell import trial
from curate.flows.stages.corpus import ingest
from curate.flows.stages.diagnosing.experts import diagnose as diagnose_experts
from curate.flows.stages.diagnosing.layers import diagnose
from curate.flows.stages.diagnosing.paths import diagnose as diagnose_paths
from curate.flows.stages.diagnosing.prompts import diagnose as diagnose_prompts
from curate.flows.stages.embeddings import embed
from curate.flows.stages.evaluation import evaluate
from curate.flows.stages.pilots import pilot
from curate.flows.stages.recovery import recover
from curate.flows.stages.scores import score
from curate.flows.stages.selection import choose
from curate.flows.stages.targets import sample

__all__ = [
    "choose",
    "cluster",
    "diagnose",
    "diagnose_experts",
    "diagnose_paths",
    "diagnose_prompts",
    "embed",
    "evaluate",
    "ingest",
    "pilot",
    "recover",
    "sample",
    "score",
    "trial",
]
