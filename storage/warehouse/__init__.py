"""Artefacts on disk: building, reading and locking them, digests, run records."""
