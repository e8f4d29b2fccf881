"""Signals of every row from one pass of a model pair over a corpus."""
