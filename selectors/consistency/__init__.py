"""Rows that contradict one another: the concept graph, its pairs, and choices without conflicts."""
