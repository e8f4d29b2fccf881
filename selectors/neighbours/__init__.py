"""Nearest neighbours of vectors: exact, and over a compressed index for large corpora."""
