"""Where the pages of the manual stand in the repository, for messages that send somebody there."""

FIRST_USE = "docs/start/first-use.md"
OPERATIONS = "docs/how-to/operations.md"
UPGRADING = "docs/how-to/upgrading.md"
SETTINGS = "docs/reference/settings.md"
