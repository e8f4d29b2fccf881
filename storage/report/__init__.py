"""Pictures of what the warehouse holds. Reads artefacts, writes image files; computes nothing new."""
