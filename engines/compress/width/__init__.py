"""Removes or sorts the channels of the MLPs: models that are smaller and faster, in ordinary folders."""
