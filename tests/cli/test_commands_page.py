"""docs/reference/commands.md tells every command and every option, and no others."""

import re
from collections.abc import Iterator
from typing import Final

import click
import pytest

from tests.servers.schema import ROOT
from worker.cli import SECTIONS, cli
from worker.cli.ui.exit_codes import INTERRUPTED, PIPE_BROKEN, UNFORESEEN
from worker.cli.ui.lazy_group import LazyGroup

PAGE: Final = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
PARTS: Final = dict(
    re.findall(r"^### `([a-z ]+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
)
EVERYWHERE: Final = {"--help", "--debug", "--version"}


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS: Final = dict(commands(cli))


def options(command: click.Command) -> set[str]:
    given = (each for each in command.params if isinstance(each, click.Option))
    return {name for option in given for name in (*option.opts, *option.secondary_opts)}


def test_every_command_has_its_part_and_no_part_tells_of_another() -> None:
    assert set(PARTS) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_told_in_the_part_of_its_command(name: str) -> None:
    told = PARTS["partners pause"] + PARTS[name] if name == "partners resume" else PARTS[name]
    assert options(COMMANDS[name]) - set(re.findall(r"--[a-z][a-z0-9-]+", told)) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_told_that_is_not_there(name: str) -> None:
    """Examples in a code block may show other commands; prose and tables may not."""
    prose = re.sub(r"^    .*$", "", PARTS[name], flags=re.MULTILINE)
    known = options(COMMANDS[name]) | EVERYWHERE
    assert set(re.findall(r"--[a-z][a-z0-9-]+", prose)) - known == set()


def test_options_of_the_whole_are_told() -> None:
    assert options(cli) - set(re.findall(r"--[a-z][a-z0-9-]+", PAGE)) == set()
    for code in (UNFORESEEN, INTERRUPTED, PIPE_BROKEN):
        assert f"| {code} |" in PAGE


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_command_has_a_line_of_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for each in command.params:
        assert not isinstance(each, click.Option) or each.help, each.name


def test_a_command_can_be_reached_and_is_named_as_in_the_table() -> None:
    assert isinstance(cli, LazyGroup)
    for entries in SECTIONS.values():
        for name in entries:
            command = cli.get_command(click.Context(cli), name)
            assert command is not None
            assert command.name == name
