"""Reuse of earlier artefacts: vectors, scores and clusters of rows that were processed before."""
