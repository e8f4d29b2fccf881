"""Output of a recovery: the report, the model card and the model folder."""
