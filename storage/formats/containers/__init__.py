"""Readers of file formats, one module each: a file in, raw rows out."""
