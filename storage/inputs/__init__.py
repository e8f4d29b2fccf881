"""User files that are not corpora, and the tables of a corpus."""
