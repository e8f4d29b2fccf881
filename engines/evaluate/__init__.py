"""Evaluation of a model item by item: RecordBatches of items in, RecordBatches of results out."""

from curate.engines.evaluate.run import EvaluateConfig, evaluate, window_length
from curate.engines.evaluate.subject import Subject, check_pair, load_subject

__all__ = ["EvaluateConfig", "Subject", "check_pair", "evaluate", "load_subject", "window_length"]
