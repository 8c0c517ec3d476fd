"""
What `celery -A worker …` finds: Celery's command line, and behind it the same worker.

`celery -A worker worker` starts what `kplus-cancel worker` starts. What is accepted says
`worker.process.celery_options`.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import click
from click.core import ParameterSource
from kombu.exceptions import OperationalError

from worker.broker.app import KplusCelery, celery_settings, time_limit
from worker.cli.commands.worker import start
from worker.cli.ui.context import settings_now
from worker.cli.ui.exit_codes import USAGE, explain
from worker.config.settings import load_settings
from worker.errors import BrokerUnavailable, KplusError
from worker.process.celery_options import (
    COMMANDS,
    GLOBAL_OPTIONS,
    OPTIONS,
    POOLS,
    UNKNOWN_COMMAND,
    UNKNOWN_OPTION,
)
from worker.runtime import broker_url

PASSED_ON = ("hostname", "pidfile", "optimization")
"""Options that Celery's own worker reads."""
DISPLAY = ("quiet", "no_color")
"""Options before the command that it reads."""
NO_BROKER = (
    "there is no broker: KPLUS_BROKER_URL is not set, and no worker runs the embedded broker"
)


class Refused(click.ClickException):
    """An option or a command that would break a promise."""

    exit_code = USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        """Print one line."""
        click.echo(f"celery: {self.format_message()}", file=file, err=file is None)


class Failed(click.ClickException):
    """One of our own errors, as `kplus-cancel` prints it."""

    def __init__(self, error: KplusError) -> None:
        super().__init__(str(error))
        self._lines, code = explain(error, program="celery", debug=False)
        self.exit_code = code  # type: ignore[misc]  # a class variable to its stubs

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error without a traceback."""
        for line in self._lines:
            click.echo(line, file=file, err=file is None)


@contextmanager
def explained() -> Iterator[None]:
    """On the command line, end with a line and an exit code instead of a traceback."""
    try:
        yield
    except KplusError as error:
        if click.get_current_context(silent=True) is None:
            raise
        raise Failed(error) from error


class CommandLineApp(KplusCelery):
    """
    The application behind Celery's commands.

    It reads the settings at the first look at its configuration, not when it is imported.
    """

    def __init__(self) -> None:
        super().__init__()
        # Celery's own place for further options. These two are hidden: only their callbacks count.
        # The first runs before any other option is read, the second after all of them.
        self.user_options["preload"].add(_hook("--kplus-command", _check_command, first=True))
        self.user_options["worker"].add(_hook("--kplus-options", _check_options, first=False))

    def on_configure(self) -> None:  # type: ignore[override]  # a method or a signal, says Celery
        """Read the settings. Raises `SettingsError`: then nothing is configured."""
        with explained():
            settings = load_settings()
            values = celery_settings(
                broker_url=broker_url(settings),
                lease=settings.lease,
                concurrency=settings.concurrency,
            ) | time_limit(lease=settings.lease, run=settings.run)
        self.add_defaults(lambda: values)

    @property
    def kplus_broker_url(self) -> str:
        """The broker's URL. Raises `BrokerUnavailable` if there is no broker."""
        url: str | None = self.conf["broker_url"]
        if url is None:
            with explained():
                raise BrokerUnavailable(NO_BROKER)
        return url

    def send_task(self, *args: Any, **options: Any) -> Any:
        """Send a task, as in Celery. Raises `BrokerUnavailable` if the broker does not take it."""
        with explained():
            try:
                return super().send_task(*args, **options)
            except OperationalError as error:
                raise BrokerUnavailable(f"the broker does not take the message: {error}") from error

    def config_from_cmdline(self, argv: list[str], namespace: str = "celery") -> None:
        """Refuse Celery's own settings after the options."""
        del namespace
        raise ValueError(f"{' '.join(argv)}: the settings are KPLUS_… in the environment or `.env`")

    def Worker(self, **options: Any) -> "Program":  # type: ignore[override]  # noqa: N802 - Celery's name
        """Return what `celery worker` starts. Raises `Refused`."""
        context = click.get_current_context(silent=True)
        display: dict[str, Any] = {name: options.pop(name, False) for name in DISPLAY}
        given = {name: value for name, value in options.items() if value is not None}
        if context is not None:
            given = {name: value for name, value in given.items() if _is_given(context, name)}
        _refuse(given)
        return Program(given, display)


class Program:
    """One run of the worker, with the options that were given."""

    exitcode = 0

    def __init__(self, options: Mapping[str, Any], display: Mapping[str, Any]) -> None:
        self._options = options
        self._display = display

    def start(self) -> None:
        """Work until a signal ends it."""
        given = self._options
        level = given.get("loglevel", logging.INFO)
        program = {name: given[name] for name in PASSED_ON if name in given}
        with explained():
            self.exitcode = start(
                settings_now(concurrency=given.get("concurrency")),
                pool=POOLS[given.get("pool", "threads")],
                level=level if isinstance(level, str) else logging.getLevelName(level),
                **self._display,
                **program,
            )


def _hook(name: str, callback: Any, *, first: bool) -> click.Option:
    return click.Option(
        [name], is_flag=True, hidden=True, expose_value=False, is_eager=first, callback=callback
    )


def _check_command(context: click.Context, _option: click.Parameter, _value: object) -> None:
    """Refuse a command, or an option before it, that would break a promise; read the settings."""
    command = str(context.info_name)
    complaint = COMMANDS.get(command, UNKNOWN_COMMAND).complaint()
    if complaint is not None:
        raise Refused(f"`celery {command}` is {complaint}")
    outer = context.parent
    for name, rule in GLOBAL_OPTIONS.items():
        # Celery also reads BROKER_URL and the like, which may belong to another program.
        typed = outer and outer.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if typed and (complaint := rule.complaint()) is not None:
            raise Refused(f"{_spelled(outer, name)} is {complaint}")
    if command == "worker":
        _keep_name_of_pool(context)
    _ = context.obj.app.conf.task_queues


def _keep_name_of_pool(context: click.Context) -> None:
    """
    Let the pool's name come through as it was given.

    Celery's type imports the pool, and takes an explicit `prefork` for its own default.
    """
    option = next(each for each in context.command.params if each.name == "pool")
    theirs, option.type = option.type, click.STRING
    context.call_on_close(lambda: setattr(option, "type", theirs))


def _check_options(context: click.Context, _option: click.Parameter, _value: object) -> None:
    given = {name: value for name, value in context.params.items() if _is_given(context, name)}
    _refuse(given, context)


def _refuse(given: Mapping[str, Any], context: click.Context | None = None) -> None:
    for name, value in given.items():
        complaint = OPTIONS.get(name, UNKNOWN_OPTION).complaint(value)
        if complaint is not None:
            raise Refused(f"{_spelled(context, name)}: {complaint}")


def _is_given(context: click.Context, name: str) -> bool:
    """Say whether an option was given: typed, or by CELERY_WORKER_… in the environment."""
    source = context.get_parameter_source(name)
    return source in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}


def _spelled(context: click.Context | None, name: str) -> str:
    """Return an option as it is typed."""
    for option in context.command.params if context is not None else ():
        if option.name == name:
            return "/".join(sorted(option.opts, key=len))
    return name


app = CommandLineApp()
