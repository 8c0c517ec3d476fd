"""What this release is: its version, and the pages of its manual that messages name."""

__version__ = "0.1.0"
USER_AGENT = f"kplus-cancel/{__version__}"
"""What the bank and a webhook see of us in a request."""

FIRST_USE = "docs/start/first-use.md"
BROKERS = "docs/how-to/brokers.md"
PRODUCERS = "docs/how-to/producers.md"
DATABASES = "docs/how-to/databases.md"
SIZING = "docs/how-to/sizing.md"
OPERATIONS = "docs/how-to/operations.md"
UPGRADING = "docs/how-to/upgrading.md"
SETTINGS = "docs/reference/settings.md"
