"""Head removal: takes groups of attention heads out of every layer, the same number in each."""
