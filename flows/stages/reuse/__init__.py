"""What earlier artefacts already know: vectors, scores and clusters of rows seen before."""
