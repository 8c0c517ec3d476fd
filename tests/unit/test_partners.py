"""The partners: who they are, how they are read, and that no secret is shown."""

import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from worker.config.partners_file import load_roster, read_secret
from worker.domain.partners import Partner, Roster
from worker.errors import MissingPartner, SettingsError
from worker.telemetry.redaction import redact

CANARY = "canary-secret"
URL = "https://bank.example/cancel-token"


def partner(partner_id: str = "P1") -> Partner:
    """Return a partner with a secret that must not be shown."""
    return Partner.model_validate(
        {"partner_id": partner_id, "secret": CANARY, "bank_url": URL, "inquiry_url": None}
    )


def load(folder: Path, text: str | bytes) -> Roster:
    """Read a partners file that holds this text."""
    path = folder / "partners.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_roster(path, bank_url=URL, inquiry_url="https://bank.example/inquire")


def complaint(folder: Path, text: str | bytes) -> str:
    """Return what is said of a file that is refused; its traceback shows no secret."""
    with pytest.raises(SettingsError) as told:
        load(folder, text)
    assert "canary" not in "".join(traceback.format_exception(told.value))
    assert str(told.value).startswith(f"KPLUS_PARTNERS_FILE: {folder / 'partners.toml'}")
    return str(told.value)


def test_a_partner_takes_what_it_leaves_out_from_the_installation(tmp_path: Path) -> None:
    one = load(tmp_path, '[partners.P1]\nsecret = "canary-secret"')["P1"]
    assert one.partner_id == "P1"
    assert one.secret.get_secret_value() == CANARY
    assert (one.bank_url, one.inquiry_url) == (URL, "https://bank.example/inquire")
    assert one.client_cert is None
    assert one.rate_per_second is None


def test_a_partner_may_have_everything_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("canary-secret\r\n")
    roster = load(
        tmp_path,
        """
        [partners.P1]
        secret_file = "key"
        bank_url = "http://127.0.0.1:8080/cancel"
        inquiry_url = "http://127.0.0.1:8080/inquire"
        client_cert = "cert.pem"
        client_key = "/keys/key.pem"
        client_key_password_file = "password"
        ca_bundle = "ca.pem"
        rate_per_second = 2.5
        max_concurrency = 4
        [partners.P2]
        secret = "other"
        """,
    )
    one = roster["P1"]
    assert one.secret.get_secret_value() == CANARY
    assert one.client_cert == tmp_path / "cert.pem"
    assert one.client_key == Path("/keys/key.pem")
    assert one.client_key_password_file == tmp_path / "password"
    assert (one.rate_per_second, one.max_concurrency) == (2.5, 4)
    assert list(roster) == ["P1", "P2"]
    assert roster.secrets() == [CANARY, "other"]


GIVEN = '[partners.P1]\nsecret = "canary-secret"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[partners.P1", "cannot be read"),
        ("[partners.P1]\nsecret = canary", "cannot be read"),
        (b'[partners.P1]\nsecret = "canary\xff"', "cannot be read"),
        ("n = " + "9" * 5000, "cannot be read"),
        ("n = " + "[" * 20_000, "cannot be read"),
        ("", "has no [partners.ID] table"),
        ("[partners]", "has no [partners.ID] table"),
        ('partners = "canary"', "has no [partners.ID] table"),
        ('[partners]\nP1 = "canary"', "[partners.P1]: must be a table"),
        ("[partners.P1]", "[partners.P1]: give either secret or secret_file"),
        (GIVEN + 'secret_file = "key"', "[partners.P1]: give either secret or secret_file"),
        ('[partners.P1]\nsecret_file = "absent"', "cannot be read: No such file or directory"),
        ('[partners.P1]\nsecret_file = "empty"', "is empty"),
        ('[partners.P1]\nsecret_file = "latin"', "cannot be read: it is not UTF-8 text"),
        ('[partners.P1]\nsecret_file = "a\\u0000b"', "cannot be read"),
        ('[partners.P1]\nsecret = ""', "[partners.P1]: secret: "),
        ("[partners.P1]\nsecret = 5", "[partners.P1]: secret: Input should be a valid string"),
        ('[partners.P1]\nsecret = " canary"', "secret: must be printable ASCII without spaces"),
        ('[partners.P1]\nsecret = "canary\\n"', "secret: must be printable ASCII without spaces"),
        ('[partners.P1]\nsecret = "canaryé"', "secret: must be printable ASCII without spaces"),
        ('[partners."a b"]\nsecret = "canary"', "partner_id: must be printable ASCII"),
        (GIVEN + 'bank_url = "ftp://canary"', "bank_url: must be a whole address"),
        (GIVEN + 'bank_url = "https://"', "bank_url: must be a whole address"),
        (GIVEN + "inquiry_url = 5", "inquiry_url: Input should be a valid string"),
        (
            GIVEN + "rate_per_second = 0",
            "rate_per_second: Input should be greater than or equal to 0.001",
        ),
        (GIVEN + "rate_per_second = inf", "rate_per_second: Input should be a finite number"),
        (GIVEN + "rate_per_second = nan", "rate_per_second: Input should be a finite number"),
        (GIVEN + "max_concurrency = -1", "max_concurrency: Input should be greater than 0"),
        (GIVEN + "max_concurrency = 1.5", "max_concurrency: Input should be a valid integer"),
        (GIVEN + "client_cert = 5", "client_cert: Input is not a valid path"),
        (GIVEN + 'sekret = "canary"', "sekret: Extra inputs are not permitted"),
        (
            GIVEN + 'bank_url = "https://u:canary@h/x"',
            "bank_url: must hold no user and no password",
        ),
        (GIVEN + 'inquiry_url = "https://canary@h/x"', "inquiry_url: must hold no user"),
        (
            GIVEN + 'proxy_url = "socks5://canary"',
            "proxy_url: must be the address of an HTTP proxy",
        ),
        (GIVEN + "proxy_url = 5", "proxy_url: Input should be a valid string"),
        (GIVEN + 'proxy_url = "http://h"\nproxy_url_file = "key"', "proxy_url or proxy_url_file"),
        (GIVEN + 'proxy_url_file = "absent"', "cannot be read: No such file or directory"),
        (GIVEN + 'no_proxy = "a b:1"', "no_proxy: its entry 2 is no host"),
        (GIVEN + "no_proxy = 5", "no_proxy: Input should be a valid string"),
        (
            GIVEN + 'proxy_url = "http://p"\nbank_url = "http://h/x"',
            "bank_url: begins with http://, and a proxy can read",
        ),
        (
            GIVEN + 'proxy_url = "http://p"\ninquiry_url = "http://h/x"',
            "inquiry_url: begins with http://, and a proxy can read",
        ),
        (GIVEN + "headers = 5", "headers: must be a table"),
        (GIVEN + 'headers = { "x-a" = 5 }', "headers: give each a text, or { file ="),
        (GIVEN + 'headers = { "x-a" = { path = "x" } }', "headers: give each a text, or"),
        (GIVEN + 'headers = { "x-a" = { file = "absent" } }', "headers: the file"),
        (GIVEN + 'headers = { "Partner-Secret" = "canary" }', "Partner-Secret must be left out"),
        (GIVEN + 'headers = { "Content-Type" = "canary" }', "Content-Type must be left out"),
        (GIVEN + 'headers = { "x-a" = " canary" }', "headers: x-a must be printable ASCII"),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_a_wrong_file_is_told_by_partner_and_key(
    tmp_path: Path, text: str | bytes, told: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "latin").write_bytes(b"canary\xff")
    assert told in complaint(tmp_path, text)


def test_every_wrong_key_of_a_partner_is_named_on_a_line_of_its_own(tmp_path: Path) -> None:
    told = complaint(tmp_path, GIVEN + "rate_per_second = -1\nmax_concurrency = 0")
    assert len(told.splitlines()) == 2


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read: .*No such file"):
        load_roster(tmp_path / "absent.toml", bank_url=URL, inquiry_url=None)


def test_only_the_final_line_break_of_a_secret_file_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b" canary \n")
    assert read_secret(path, "KPLUS_PARTNER_SECRET_FILE") == " canary "


def test_a_partner_is_shown_without_its_secret() -> None:
    one = partner()
    roster = Roster({"P1": one})
    for shown in (repr(one), str(one), repr(roster), str(roster.items()), one.model_dump_json()):
        assert "canary" not in shown


def test_a_roster_is_a_mapping_that_does_not_follow_its_source() -> None:
    source = {"P1": partner()}
    roster = Roster(source)
    source["P2"] = partner("P2")
    assert len(roster) == 1
    assert "P2" not in roster
    assert dict(roster) == {"P1": partner()}


def test_an_order_may_leave_out_the_only_partner() -> None:
    assert Roster({"P1": partner()}).resolve(None) == "P1"


def test_a_named_partner_is_taken_as_named_even_if_it_is_not_configured() -> None:
    """The job waits for its partner to be configured; the order itself is sound."""
    assert Roster({}).resolve("P9") == "P9"


@pytest.mark.parametrize(("ids", "known"), [([], "none"), (["P2", "P1"], "P1, P2")])
def test_a_partner_that_cannot_be_assumed_is_missed(ids: list[str], known: str) -> None:
    roster = Roster({partner_id: partner(partner_id) for partner_id in ids})
    with pytest.raises(MissingPartner) as told:
        roster.resolve(None)
    assert told.value.reason == "missing_partner"
    assert f"configured partners: {known}" in str(told.value)


def test_limits_of_its_own_bound_a_partner() -> None:
    free = partner("P1")
    by_rate = free.model_copy(update={"partner_id": "P2", "rate_per_second": 2.0})
    by_number = free.model_copy(update={"partner_id": "P3", "max_concurrency": 1})
    assert [each.is_limited for each in (free, by_rate, by_number)] == [False, True, True]
    roster = Roster({each.partner_id: each for each in (free, by_rate, by_number)})
    assert roster.unlimited == ["P1"]


PROXIED = {"proxy_url": SecretStr("http://out.example:3128"), "no_proxy": "near.example"}


def proxied(folder: Path, text: str) -> Partner:
    """Return the partner of a file, in an installation behind a proxy."""
    path = folder / "partners.toml"
    path.write_text(f'[partners.P1]\nsecret = "canary-secret"\n{text}')
    return load_roster(path, bank_url=URL, inquiry_url=None, proxied=PROXIED)["P1"]


def test_a_partner_takes_the_way_out_of_the_installation_or_one_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text("http://user:canary-word@own.example:8080\n")
    (tmp_path / "out-ca.pem").write_text("an authority")
    usual = proxied(tmp_path, "").proxy
    assert usual is not None
    assert (usual.name, usual.serves("near.example")) == ("out.example:3128", False)
    own = proxied(tmp_path, 'proxy_url_file = "proxy"\nproxy_ca_bundle = "out-ca.pem"').proxy
    assert own is not None
    assert (own.name, own.password) == ("own.example:8080", "canary-word")
    assert own.serves("near.example"), "the exceptions are those of the other proxy"
    assert own.ca_bundle == tmp_path / "out-ca.pem"
    assert "canary" not in redact("a log with canary-word in it")
    assert proxied(tmp_path, 'proxy_url = "direct"').proxy is None
    fewer = proxied(tmp_path, 'no_proxy = "bank.example"').proxy
    assert fewer is not None
    assert (fewer.name, fewer.serves("bank.example")) == ("out.example:3128", False)


def test_headers_come_from_the_table_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("canary-from-a-file\n")
    one = proxied(
        tmp_path,
        'headers = { "x-api-key" = "canary-written", "x-token" = { file = "key" }, env-id = "AB" }',
    )
    assert one.plain_headers() == {
        "x-api-key": "canary-written",
        "x-token": "canary-from-a-file",
        "env-id": "AB",
    }
    assert "canary" not in f"{one!r} {one.model_dump_json()}"
    shown = redact("canary-written, canary-from-a-file and AB")
    assert shown == "[redacted], [redacted] and AB"


def test_the_id_of_a_partner_stays_readable_though_it_is_a_credential_of_a_gateway(
    tmp_path: Path,
) -> None:
    proxied(tmp_path, 'headers = { "x-api-key" = "P1" }')
    assert redact("partner P1") == "partner P1"


def test_the_fingerprint_is_that_of_the_version_before_where_nothing_new_is_set() -> None:
    """An upgrade must not resume a partner that is paused."""
    known = Partner.model_validate(
        {"partner_id": "P1", "secret": CANARY, "bank_url": URL, "inquiry_url": None},
        context={"tls_files": "   "},
    )
    assert known.credentials == "34713bd76b374eb3"


@pytest.mark.parametrize(
    "more",
    [
        'headers = { "x-api-key" = "1" }',
        'proxy_url = "http://other.example"',
        'proxy_url = "direct"',
        'no_proxy = "bank.example"',
        'proxy_ca_bundle = "out-ca.pem"',
    ],
)
def test_the_fingerprint_changes_with_headers_and_the_way_out(tmp_path: Path, more: str) -> None:
    (tmp_path / "out-ca.pem").write_text("an authority")
    assert proxied(tmp_path, more).credentials != proxied(tmp_path, "").credentials
    assert proxied(tmp_path, more).credentials == proxied(tmp_path, more).credentials


def test_the_fingerprint_changes_with_all_that_proves_who_we_are(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("one authority")
    text = '[partners.P1]\nsecret = "canary-secret"\nca_bundle = "ca.pem"'
    before = load(tmp_path, text)["P1"]
    assert load(tmp_path, text)["P1"].credentials == before.credentials
    elsewhere = load(tmp_path, f"{text}\nbank_url = 'https://b.example'")["P1"]
    assert elsewhere.credentials != before.credentials
    renewed = load(tmp_path, text.replace("canary", "another"))["P1"]
    assert renewed.credentials != before.credentials
    (tmp_path / "ca.pem").write_text("another authority")
    after = load(tmp_path, text)["P1"]
    assert after != before
    assert after.credentials != before.credentials
    (tmp_path / "ca.pem").unlink()
    assert load(tmp_path, text)["P1"].credentials not in {before.credentials, after.credentials}


def test_no_partners_file_can_say_what_the_tls_files_hold(tmp_path: Path) -> None:
    told = complaint(tmp_path, '[partners.P1]\nsecret = "canary-secret"\ntls_files = "x"')
    assert "tls_files" in told


def test_an_order_may_name_its_partner_for_a_producer_that_knows_none() -> None:
    assert Roster({}).resolve(None, default="P9") == "P9"
    assert Roster({"P1": partner()}).inquirers == []


def test_a_stranger_is_named_only_where_partners_are_known() -> None:
    url = "https://bank.example/cancel"
    known = Roster({"P1": Partner(partner_id="P1", secret=SecretStr("abcdefgh"), bank_url=url)})
    assert known.stranger("P1") == ""
    assert known.stranger("P2") == "partner P2 is not configured here (known: P1)"
    assert Roster({}).stranger("P2") == ""
