"""``curate compare``: methods, budgets and seeds, trained and evaluated alike."""
