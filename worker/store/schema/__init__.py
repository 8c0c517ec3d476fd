"""The tables, their triggers, and how a database gets them."""
