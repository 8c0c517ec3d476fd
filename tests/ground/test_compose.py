"""The containers: names that hang together, and settings the product relies on."""

from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from tests.ground.conftest import Plant
from tools import compose
from tools.tree import ROOT
from worker.cli import cli
from worker.config.settings import load_settings


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    table = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
    return dict(table["services"])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("services: {a: {depends_on: [b]}}", "a waits for b"),
        ("services: {a: {depends_on: {b: {condition: service_started}}}}", "a waits for b"),
        ("services: {a: {volumes: ['data:/data']}}", "volumes: data is used and not declared"),
        ("services: {a: {volumes: [{type: volume, source: v, target: /v}]}}", "v is used and not"),
        ("services: {a: {secrets: [s]}}", "secrets: s is used and not declared"),
        ("services: {a: {networks: {n: {}}}}", "networks: n is used and not declared"),
        ("services: {a: {}}\nvolumes: {data: }", "volumes: data is declared and not used"),
    ],
)
def test_a_dangling_name_is_named(plant: Plant, text: str, complaint: str) -> None:
    found = compose.complaints(plant("compose.yml", text))
    assert len(found) == 1
    assert complaint in found[0]


def test_a_folder_of_the_host_is_nobodys_name(plant: Plant) -> None:
    text = "services: {a: {volumes: ['./here:/x', '/there:/y', {type: tmpfs, target: /z}]}}"
    assert compose.complaints(plant("compose.yml", text)) == []


def test_a_worker_is_given_time_to_finish_its_calls(services: dict[str, Any]) -> None:
    grace = timedelta(seconds=int(services["worker"]["stop_grace_period"].removesuffix("s")))
    assert grace >= load_settings().deadline + timedelta(seconds=20)


def test_redis_refuses_rather_than_forgets(services: dict[str, Any]) -> None:
    words = " ".join(services["redis"]["command"])
    assert "--maxmemory-policy noeviction" in words
    assert "--appendonly yes" in words


def test_nothing_is_reachable_from_outside_the_machine(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_worker_waits_for_the_schema_and_both_servers(services: dict[str, Any]) -> None:
    waits = {name: what["condition"] for name, what in services["worker"]["depends_on"].items()}
    assert waits["migrate"] == "service_completed_successfully"
    assert waits["postgres"] == waits["redis"] == "service_healthy"


def test_worker_and_bank_are_told_the_secret_by_a_file(services: dict[str, Any]) -> None:
    assert "KPLUS_PARTNER_SECRET" not in services["worker"]["environment"]
    assert services["sandbox"]["environment"] == {}
    for name in ("worker", "sandbox"):
        assert services[name]["secrets"] == ["partner_secret"]


def test_worker_and_bank_speak_of_the_same_partner(services: dict[str, Any]) -> None:
    partner = services["worker"]["environment"]["KPLUS_PARTNER_ID"]
    assert f"--partner-id={partner}" in services["sandbox"]["command"]


@pytest.mark.parametrize("name", ["migrate", "worker", "sandbox"])
def test_every_command_is_one_the_program_has(services: dict[str, Any], name: str) -> None:
    """Parsed by the program itself; `--help` keeps it from doing anything."""
    done = CliRunner().invoke(cli, [*services[name]["command"], "--help"])
    assert done.exit_code == 0, done.output
