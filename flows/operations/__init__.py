"""What a verb does beyond the stages: one verb a file."""
