"""Evaluation of a model item by item: RecordBatches of items in, RecordBatches of results out."""

from curate.engines.evaluate.run import EVALUATE_VERSION, EvaluateConfig, evaluate
from curate.engines.evaluate.subject import Subject, load_subject

__all__ = ["EVALUATE_VERSION", "EvaluateConfig", "Subject", "evaluate", "load_subject"]
