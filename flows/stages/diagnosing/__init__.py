"""The stages of diagnoses, one kind a file (layers, experts, prompts, paths), and their parts."""
