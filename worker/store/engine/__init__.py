"""One engine a process, the same behaviour on SQLite and PostgreSQL."""
