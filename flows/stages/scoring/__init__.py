"""Parts of the scores stage: scoring and writing the parts of a corpus."""
