"""Text features as words, phrases and shingles: concepts, near-duplicates, contamination."""
