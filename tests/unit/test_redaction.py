"""A secret is found in whatever form it comes back, and nothing else is taken for one."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.servers.secret_forms import ENCODINGS, forms
from worker.config.settings import GivenSettings
from worker.telemetry.encodings import squeezed, unescaped
from worker.telemetry.redaction import (
    REDACTED,
    is_clean,
    protect,
    redact,
    redact_cut,
    redact_value,
)

SECRETS = {
    "brackets": "p@ss(CANARY12)",
    "real": "canary+c2VjcmV0/b2Yt/dGhlLXBhcnRuZXI==",
    "odd": "canary \"odd\" \\sec/ret\\ <&> 100% 'so'",
    "signs": "!*'();:@&=+$,/?#[]~{}|^`<>\\\"%",
    "escapes": "canary%41&lt;b\\u0043\\n=3D&#64;end",
    "Thai": "รหัสลับ-ของ-คู่ค้า",
    "letters": "abcdefghijklmnop",
    "digits": "4111111111111111",
}


@pytest.fixture(autouse=True)
def _known() -> None:
    protect(SECRETS.values())


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    ("before", "after"), [("the key is ", " and wrong"), ('{"a":"', '"}'), ("", ""), ("x(", ")y")]
)
def test_no_form_of_a_secret_stays(name: str, before: str, after: str) -> None:
    secret = SECRETS[name]
    left = [
        form_name
        for form_name, form in forms(secret).items()
        if REDACTED not in (clean := redact(f"{before}{form}{after}")) or form in clean
    ]
    # A line or a base64 that ends within an escape: what is left of it is no character.
    split = ("in lines of JSON", "base64 of JSON")
    assert not [each for each in left if secret.isascii() or not each.startswith(split)]


def test_what_stands_around_a_secret_stays() -> None:
    for name, form in forms(SECRETS["brackets"]).items():
        clean = redact(f"the key is {form} and wrong (EMA)")
        assert clean.startswith("the key is "), name
        assert clean.endswith(" and wrong (EMA)"), name


def test_every_echo_is_found() -> None:
    """Many in one text, of several partners, plain and encoded."""
    every = [form for name in ("real", "odd") for form in forms(SECRETS[name]).values()]
    clean = redact(" and ".join(every * 3))
    assert [form for form in every if form in clean] == []


secrets = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=8, max_size=40)


@settings(max_examples=300, deadline=None)
@example("p@ss(CANARY12)", ["JSON", "URL"], "", "")
@example("00000000", ["a mix", "hex with colons"], "", "xa")
@example("00000: 00", ["form", "URL in URL"], "", "")
@example("00000: 00", ["form", "base64 of base64"], "", "")
@example("00000001", ["quoted-printable, each", "in lines"], "", "")
@given(
    secrets,
    st.lists(st.sampled_from(sorted(ENCODINGS)), min_size=1, max_size=2),
    st.text("abc xyz,.", max_size=12),
    st.text("abc xyz,.", max_size=12),
)
def test_two_encodings_over_each_other_hide_nothing(
    secret: str, names: list[str], before: str, after: str
) -> None:
    bare = secret.encode()
    for _ in range(3):
        assume(len(squeezed(bare)) >= 8)
        bare = unescaped(bare)
    assume(sum(name.endswith("in URL") or " in " in name or " of " in name for name in names) < 2)
    protect([secret])
    form = secret
    for name in names:
        # A line that ends within an escape: what is left of it is no character, as above.
        assume(name != "in lines of JSON" or json.dumps(form) == f'"{form}"')
        form = ENCODINGS[name](form)
    clean = redact(f"{before} {form} {after}")
    assert form not in clean
    assert REDACTED in clean


@pytest.mark.parametrize("length", range(6, len(SECRETS["real"])))
def test_a_secret_that_is_cut_off_is_found(length: int) -> None:
    secret = SECRETS["real"]
    assert redact_cut(f"the key is {secret[:length]}") == "the key is [redacted]"


@pytest.mark.parametrize("name", ["URL, each character", "HTML, numbers", "base64, whole", "hex"])
def test_an_encoded_secret_that_is_cut_off_is_found(name: str) -> None:
    form = ENCODINGS[name](SECRETS["brackets"])
    for length in range(len(form) * 3 // 4, len(form)):
        assert redact_cut(f"the key is {form[:length]}").startswith("the key is [redacted]"), length


def test_a_short_secret_counts_as_a_whole_word_only() -> None:
    protect(["test", "KP2X"])
    assert redact("the test, KP2X") == "the [redacted], [redacted]"
    for text in ("the latest", "test-run", "test.run", "contest", "KP2XY", "KP-REAL"):
        assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Bearer X, then", "Authorization: [redacted], then"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: [redacted]"),
        ('Authorization: Digest username="x", response="y"\nZ', "Authorization: [redacted]\nZ"),
        ("it sent Bearer abc.def-123 then", "it sent Bearer [redacted] then"),
        (
            "{'clientPassword': 'a b', 'tokenId': 'T'}",
            "{'clientPassword': [redacted], 'tokenId': 'T'}",
        ),
        ('{"api_key":"x","tokenId":"T"}', '{"api_key":[redacted],"tokenId":"T"}'),
        ('{\\"apiKey\\":\\"x y\\",\\"a\\":1}', '{\\"apiKey\\":[redacted],\\"a\\":1}'),
        ("X-Api-Key: abc", "X-Api-Key: [redacted]"),
        ("access_token=abc&x=1", "access_token=[redacted]&x=1"),
        ("Set-Cookie: a=b; c=d\nX: 1", "Set-Cookie: [redacted]\nX: 1"),
        ("<clientSecret>abc</clientSecret>", "<clientSecret>[redacted]</clientSecret>"),
        ("[(b'Partner-Secret', b'xyz')]", "[(b'Partner-Secret', [redacted])]"),
        ("&quot;password&quot;:&quot;xyz&quot;,b", "&quot;password&quot;:[redacted],b"),
        ("redis://:p@ss(w)@host/0 down", "redis://:[redacted]@host/0 down"),
        ("amqp://u:p/w==@h:5672//", "amqp://u:[redacted]@h:5672//"),
    ],
)
def test_what_stands_behind_the_name_of_a_credential_is_hidden(text: str, clean: str) -> None:
    assert redact(text) == clean
    assert redact(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        *(
            "tokenId: T1",
            '"tokenId":"T1"',
            "invalid token: T1",
            "token_status=PAID",
            "basic information",
        ),
        *("http://h:8080/x?mail=a@b", "KPLUS_PARTNER_SECRET: must be printable", "key: value"),
        "client_key_password_file: the file cannot be read",
    ],
)
def test_our_own_words_stay(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "name",
    [
        *("clientPassword", "api_key", "X-Api-Key", "access_token", "Authorization", "Cookie"),
        *(
            "PARTNER_SECRET",
            "partner secret",
            "Set-Cookie",
            "refreshToken",
            "id_token",
            "password2",
        ),
    ],
)
def test_a_value_under_the_name_of_a_credential_is_hidden(name: str) -> None:
    assert redact_value({name: {"a": [1]}}) == {name: REDACTED}
    assert redact_value({"headers": [[name, "abc"], ["a", "b"]]})["headers"][0] == [name, REDACTED]
    assert not is_clean({name: "abc"})


def test_what_is_no_text_is_redacted_too() -> None:
    secret = SECRETS["digits"]
    deep: Any = secret
    for _ in range(500):
        deep = [deep]
    value = {
        "number": int(secret),
        "bytes": secret.encode(),
        "nested": {"list": (secret, {secret: 1})},
        "deep": deep,
        "huge": 10**5000,
        "kept": [1, 2.5, None, True],
    }
    clean = redact_value(value)
    assert secret not in json.dumps(clean)
    assert clean["kept"] == [1, 2.5, None, True]


@pytest.mark.parametrize("form", ["plain", "URL", "hex", "base64, whole", "HTML, numbers"])
def test_the_fast_look_at_a_log_line_agrees_with_the_slow_one(form: str) -> None:
    secret = forms(SECRETS["brackets"])[form]
    events: list[Mapping[str, object]] = [
        {"event": f"so {secret}"},
        {"event": "x", "reason": secret},
        {"event": "x", secret: 1},
        {"event": "x", "number": int(SECRETS["digits"])},
        {"event": "x", "huge": 10**5000},
        {"event": "x", "n": 1, "none": None, "on": True},
    ]
    assert [is_clean(event) for event in events] == [
        redact_value(event) == event for event in events
    ]
    assert [is_clean(event) for event in events] == [*[False] * 5, True]


@given(st.text())
def test_no_text_ends_a_redaction(text: str) -> None:
    """It stands in every log line: what it raised would end a job."""
    clean = redact(text)
    assert redact_cut(text) is not None
    assert is_clean({"event": text}) == (clean == text)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://kplus:db%40pass%2Fword@h/x",
        "postgresql+psycopg://kplus:db@pass/word@h/x",
    ],
)
def test_the_password_of_the_database_is_known_in_both_forms(url: str) -> None:
    GivenSettings(database_url=url)
    assert redact("it is db@pass/word or db%40pass%2Fword") == "it is [redacted] or [redacted]"


def test_every_password_of_a_broker_is_known() -> None:
    url = (
        "sentinel://:redis-Passw0rd@a:26379;sentinel://:redis-Passw0rd@b:26379/0"
        "?master_name=m&sentinel_password=the-Sentinels"
    )
    GivenSettings(broker_url=url)
    assert redact("redis-Passw0rd, the-Sentinels, m") == "[redacted], [redacted], m"


def test_a_password_that_is_the_users_name_hides_no_word() -> None:
    GivenSettings(broker_url="amqp://guestuser:guestuser@h:5672//")
    assert redact("guestuser is refused") == "guestuser is refused"
