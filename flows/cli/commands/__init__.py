"""The verbs of the command line, a few to a file; each file adds its verbs to `curate.flows.cli.app`.

Only argument handling and printing: whatever a verb does is in `curate.flows` and below, imported when it is called.
"""
