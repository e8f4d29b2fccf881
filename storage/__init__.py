"""Where things rest: the warehouse of Parquet artefacts, its DuckDB catalog, and the formats that come and go."""
