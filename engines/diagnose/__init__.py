"""Measures what the parts of a model contribute: which decoder layers matter, and by which measure."""
