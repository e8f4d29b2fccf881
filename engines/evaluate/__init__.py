"""Evaluation of a model item by item: RecordBatches of items in, RecordBatches of results out."""

from curate.engines.evaluate.run import EvaluateConfig, evaluate
from curate.engines.evaluate.subject import Subject, load_subject

__all__ = ["EvaluateConfig", "Subject", "evaluate", "load_subject"]
