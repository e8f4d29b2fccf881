"""The verbs of the command line, a few to a file; each file adds its verbs to `curate.flows.cli.app`.

Only argument handling and printing: the work is done by `curate.flows.operations` and below, imported on the call so
that ``curate --help`` starts fast.
"""
