"""One engine for each process, with the same behaviour on SQLite and PostgreSQL."""
