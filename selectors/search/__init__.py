"""Searches among candidates by a reward that is given as a function."""
