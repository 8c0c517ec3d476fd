"""The settings, and the files that they name."""
