"""Orders rows by one or several signals."""
