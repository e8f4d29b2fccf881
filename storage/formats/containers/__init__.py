"""File formats, one a file: bytes in, rows out."""
