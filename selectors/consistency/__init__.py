"""PASER's consistency filter: the concept graph, conflicting pairs, and selection without conflicts."""
