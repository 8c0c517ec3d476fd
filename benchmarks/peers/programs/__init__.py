"""One program a library: how it takes a message, and hands it to the job. All else is shared."""
