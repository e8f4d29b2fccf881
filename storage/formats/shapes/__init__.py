"""Shapes of rows, one a file: columns in, conversations out."""
