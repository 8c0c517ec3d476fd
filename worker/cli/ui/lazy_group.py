"""A group of commands that are imported when they are called, and listed in sections."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class ReaderGone(Exception):
    """Standard output was closed by its reader."""


Entry = tuple[str, str]
"""`module:attribute` below `worker.cli.commands`, and the line of the help."""


class LazyGroup(click.Group):
    """A group whose help imports no command: its lines are in the table of commands."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, Entry]], **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.sections = sections
        self._entries = {name: entry for part in sections.values() for name, entry in part.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in self._entries:
            return None
        module, _, attribute = self._entries[cmd_name][0].partition(":")
        found: click.Command = getattr(import_module(f"worker.cli.commands.{module}"), attribute)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. On a closed pipe click would exit with 1, which here means "no"."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands before the options."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        del ctx
        longest = max(map(len, self._entries))
        for title, entries in self.sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(longest), text) for name, (_, text) in entries.items()]
                )
