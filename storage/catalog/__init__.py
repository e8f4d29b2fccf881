"""The DuckDB catalog: publishing, views, read-only sessions, named queries."""
