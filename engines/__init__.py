"""What models do: tokenise, encode, score, compress, train, answer. The only room that imports torch."""
