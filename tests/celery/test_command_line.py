"""`celery -A worker …`: what is accepted, what is refused, and what a bad setting leads to."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.bin.celery import celery
from celery.bin.worker import worker
from click import Parameter
from pydantic import SecretStr

from tests.servers.schema import ROOT
from tests.servers.waiting import LIMIT
from tests.servers.workers import CELERY, COMMAND, clean_environment
from worker.broker.app import CANCEL_QUEUE, CANCEL_TOKEN, HOUSEKEEPING_QUEUE
from worker.celery import app
from worker.cli.commands.worker import start
from worker.config.settings import GivenSettings
from worker.errors import SettingsError
from worker.process import run as process
from worker.process.celery_options import COMMANDS, GLOBAL_OPTIONS, OPTIONS, Rule, Ruling

SCRIPT = Path(__file__).with_name("many_commands.py")
PASSWORD = "canary-cGFzc3dvcmQtb2YtdGhlLWJyb2tlcg"
BOTH = f"{HOUSEKEEPING_QUEUE},{CANCEL_QUEUE}"

REFUSED = {
    "detach": ["--detach"],
    "statedb": ["--statedb=x"],
    "prefetch_multiplier": ["--prefetch-multiplier=4"],
    "disable_prefetch": ["--disable-prefetch"],
    "concurrency": ["-c", "1025"],
    "pool": ["-P", "solo"],
    "task_events": ["-E"],
    "time_limit": ["--time-limit=5"],
    "soft_time_limit": ["--soft-time-limit=5"],
    "max_tasks_per_child": ["--max-tasks-per-child=5"],
    "pool_start_method": ["--pool-start-method=spawn"],
    "max_memory_per_child": ["--max-memory-per-child=9"],
    "purge": ["--purge"],
    "queues": ["-Q", CANCEL_QUEUE],
    "exclude_queues": ["-X", HOUSEKEEPING_QUEUE],
    "include": ["-I", "json"],
    "without_gossip": ["--without-gossip"],
    "autoscale": ["--autoscale=8,2"],
    "beat": ["-B"],
    "schedule_filename": ["-s", "x"],
    "scheduler": ["--scheduler=x"],
    "logfile": ["-f", "x"],
    "umask": ["--umask=022"],
    "executable": ["--executable=x"],
}
"""For each option that can be refused, arguments that are."""

PAGE = ROOT / "docs" / "how-to" / "run-with-celery.md"

Answer = Mapping[str, Any]
Run = Callable[..., list[Answer]]


@pytest.fixture
def celery_commands(tmp_path: Path) -> Run:
    """Run command lines of Celery with these settings; return what became of each."""

    def run_all(*lines: list[str], **environment: str) -> list[Answer]:
        environment = {"KPLUS_HOME": str(tmp_path / "home"), **environment}
        given = [{"arguments": line, "environment": environment} for line in lines]
        ended = subprocess.run(
            [sys.executable, str(SCRIPT)],
            input=json.dumps(given),
            cwd=tmp_path,
            env=clean_environment(),
            text=True,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        answers: list[Answer] = json.loads(ended.stdout)
        return answers

    return run_all


def table_of_options() -> str:
    return _table("option", [(_spelled(each), OPTIONS[str(each.name)]) for each in worker.params])


def table_of_global_options() -> str:
    rules = [(_spelled(each), GLOBAL_OPTIONS[str(each.name)]) for each in celery.params]
    return _table("option", rules)


def table_of_commands() -> str:
    return _table("command", [(f"`{name}`", rule) for name, rule in COMMANDS.items()])


def _spelled(option: Parameter) -> str:
    return ", ".join(f"`{spelling}`" for spelling in sorted(option.opts, key=len))


def _table(what: str, rules: Iterable[tuple[str, Rule]]) -> str:
    lines = [f"| {what} | | |", "| --- | --- | --- |"]
    for name, rule in rules:
        ruling = f"only {rule.values}" if rule.values else rule.ruling
        lines.append(f"| {name} | {ruling} | {rule.text} |")
    return "\n".join(lines)


@pytest.mark.parametrize("table", [table_of_options, table_of_global_options, table_of_commands])
def test_the_page_shows_the_rulings(table: Callable[[], str]) -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


def test_every_option_of_celery_has_a_ruling() -> None:
    assert {option.name for option in worker.params} == set(OPTIONS)
    assert {option.name for option in celery.params} == set(GLOBAL_OPTIONS)


def test_every_command_of_celery_has_a_ruling() -> None:
    assert set(celery.commands) == set(COMMANDS)


def test_every_refused_option_is_tried() -> None:
    strict = {name for name, rule in OPTIONS.items() if rule.ruling is Ruling.REFUSED}
    by_value = {name for name, rule in OPTIONS.items() if rule.values}
    assert set(REFUSED) == strict | by_value


def test_an_option_that_would_break_a_promise_is_refused_by_name(
    celery_commands: Run, tmp_path: Path
) -> None:
    """The exit code is that of a usage error, and nothing was started: there is no home."""
    answers = celery_commands(*(["worker", *arguments] for arguments in REFUSED.values()))
    for name, answer in zip(REFUSED, answers, strict=True):
        option = next(each for each in worker.params if each.name == name)
        assert answer["code"] == 2, answer
        assert answer["err"].count("\n") == 1, answer
        assert answer["err"].startswith("celery: -"), answer
        assert any(spelling in answer["err"] for spelling in option.opts), answer
        assert OPTIONS[name].text in answer["err"], answer
        assert answer["out"] == ""
    assert not (tmp_path / "home").exists()


def test_an_option_in_the_environment_is_an_option(celery_commands: Run) -> None:
    (answer,) = celery_commands(["worker"], CELERY_WORKER_QUEUES="other")
    assert answer["code"] == 2
    assert "--queues" in answer["err"]


def test_settings_of_celery_behind_the_options_are_refused(celery_commands: Run) -> None:
    (answer,) = celery_commands(["worker", "worker.prefetch_multiplier=10"])
    assert answer["code"] == 2
    assert "worker.prefetch_multiplier=10" in answer["err"]
    assert "KPLUS_" in answer["err"]


def test_options_before_the_command_do_not_replace_settings(celery_commands: Run) -> None:
    refused = ["broker", "result_backend", "loader", "config"]
    lines = [[f"--{name.replace('_', '-')}=redis://x", "worker"] for name in refused]
    for name, answer in zip(refused, celery_commands(*lines), strict=True):
        assert answer["code"] == 2, answer
        assert GLOBAL_OPTIONS[name].text in answer["err"], answer


def test_a_refused_command_says_why_in_one_line(celery_commands: Run) -> None:
    refused = [name for name, rule in COMMANDS.items() if rule.ruling is Ruling.REFUSED]
    arguments = {
        "inspect": ["ping"],
        "control": ["shutdown"],
        "result": ["x"],
        "graph": ["workers"],
        "logtool": ["stats"],
    }
    answers = celery_commands(*([name, *arguments.get(name, [])] for name in refused))
    for name, answer in zip(refused, answers, strict=True):
        assert answer["code"] == 2, answer
        # Celery's `events` has one option twice, and click warns of that.
        last = answer["err"].splitlines()[-1]
        assert last == f"celery: `celery {name}` is refused: {COMMANDS[name].text}"


def test_a_bad_setting_is_one_line_and_exit_code_3(celery_commands: Run, tmp_path: Path) -> None:
    """The same line as of `kplus-cancel worker`."""
    bad = {"KPLUS_CONCURRENCY": "many"}
    answers = celery_commands(["worker"], ["report"], ["call", CANCEL_TOKEN], **bad)
    ours = subprocess.run(
        [*COMMAND, "worker"],
        cwd=tmp_path,
        env=clean_environment() | bad,
        text=True,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert ours.returncode == 3
    for answer in answers:
        assert answer["code"] == 3, answer
        assert answer["err"] == ours.stderr.replace("kplus-cancel:", "celery:"), answer


def test_a_report_shows_versions_and_settings_but_no_secret(
    celery_commands: Run, tmp_path: Path
) -> None:
    (answer,) = celery_commands(
        ["report"], KPLUS_BROKER_URL=f"redis://:{PASSWORD}@127.0.0.1:1/0", KPLUS_PARTNER_ID="P1"
    )
    assert answer["code"] == 0, answer
    assert "software -> celery:5.7" in answer["out"]
    assert CANCEL_QUEUE in answer["out"]
    assert PASSWORD not in answer["out"] + answer["err"]
    assert not (tmp_path / "home").exists()


def test_a_call_puts_one_message_into_our_queue(celery_commands: Run, broker_url: str) -> None:
    order = '{"partnerTxnUid": "U1", "tokenId": "T1", "reference1": "R1"}'
    (answer,) = celery_commands(
        ["call", CANCEL_TOKEN, "--kwargs", order], KPLUS_BROKER_URL=broker_url
    )
    assert answer["code"] == 0, answer
    with redis.Redis.from_url(broker_url) as client:
        assert client.llen(CANCEL_QUEUE) == 1


def test_a_call_without_a_broker_is_one_line_and_exit_code_4(celery_commands: Run) -> None:
    (unset,) = celery_commands(["call", CANCEL_TOKEN])
    (away,) = celery_commands(["call", CANCEL_TOKEN], KPLUS_BROKER_URL="redis://127.0.0.1:1/0")
    for answer in (unset, away):
        assert answer["code"] == 4, answer
        assert answer["err"].count("\n") == 1, answer
        assert "broker" in answer["err"]


def test_loading_the_application_reads_no_settings(
    settings_env: Callable[..., None], tmp_path: Path
) -> None:
    """Celery loads it before it knows the command; a program may load it for its name alone."""
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import worker.celery; print('loaded')"],
        cwd=tmp_path,
        env=clean_environment() | {"KPLUS_CONCURRENCY": "many"},
        text=True,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert loaded.stdout == "loaded\n", loaded.stderr


def test_a_program_gets_our_error_and_gets_it_again(
    settings_env: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application without its settings must not go on with Celery's defaults."""
    settings_env(KPLUS_CONCURRENCY="many")
    fresh = type(app)()
    for _ in range(2):
        with pytest.raises(SettingsError, match="KPLUS_CONCURRENCY"):
            fresh.send_task(CANCEL_TOKEN)


def test_help_needs_no_settings(celery_commands: Run) -> None:
    (answer,) = celery_commands(["worker", "--help"], KPLUS_CONCURRENCY="many")
    assert answer["code"] == 0, answer
    assert "--kplus" not in answer["out"]


def test_the_schema_is_checked_before_anything_is_taken(tmp_path: Path, broker_url: str) -> None:
    """A configured database without a schema ends the start, as with `kplus-cancel worker`."""
    ended = subprocess.run(
        [*CELERY, "worker", "-Q", BOTH, "-P", "threads", "-l", "warning"],
        cwd=tmp_path,
        env=clean_environment()
        | {
            "KPLUS_DATABASE_URL": f"sqlite:///{tmp_path / 'empty.db'}",
            "KPLUS_BROKER_URL": broker_url,
        },
        text=True,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert ended.returncode == 4, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("celery: the database has no schema yet")


def test_the_exit_code_is_that_of_celerys_worker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An error that Celery cannot recover from must reach the supervisor."""
    program = SimpleNamespace(start=lambda: None, exitcode=1)
    monkeypatch.setattr(
        process, "build_worker", lambda *_, **__: SimpleNamespace(Worker=lambda **_: program)
    )
    settings = GivenSettings(home=tmp_path, broker_url=SecretStr("redis://127.0.0.1:1/0"))
    assert start(settings, pool="threads", level="ERROR") == 1
