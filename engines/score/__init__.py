"""One pass of a model pair over a corpus: the signals of every row."""
