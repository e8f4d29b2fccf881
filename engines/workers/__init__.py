"""Processes that share the parts of an artefact, one per device."""
