"""Sentinels for the tests."""
