"""Samples of a few rows of the demo: how many rows, and how they are drawn.

Not a test file: the tests of `curate sample` share it.
"""

ROWS = 24
DRAWING = ("--max-new-tokens", 24, "--seed", 1)
