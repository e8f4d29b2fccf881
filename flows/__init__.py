"""When things happen: stages, flows, the command line, the demo. Holds no mathematics."""
