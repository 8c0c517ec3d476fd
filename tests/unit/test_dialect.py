"""The bank's vocabulary: what is built in, and how an operator extends it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.config.dialect_file import built_in, load_dialect
from worker.domain.dialect import CodeVerdict, Dialect, StatusVerdict
from worker.errors import SettingsError

BUILT_IN = built_in()

CODES = {
    "authentication_error": "ours",
    "bad_request": "ours",
    "duplicate_request": "duplicate",
    "general_error": "later",
    "internal_error": "doubt",
    "invalid_reference1": "refused",
    "invalid_origPartnerTxnUid": "refused",
    "invalid_partnerTxnUid": "refused",
    "invalid_tokenId": "refused",
    "invalid_merchant": "ours",
    "invalid_partnerId": "ours",
    "invalid_partnerSecret": "ours",
    "invalid_requestDt": "ours",
    "invalid_client": "ours",
    "invalid_grant": "ours",
    "invalid_scope": "ours",
    "invalid_token": "doubt",
    "merchant_closed": "ours",
    "account_error": "ours",
    "qr_cancelled": "already_cancelled",
    "qr_paid": "paid",
    "qr_expired": "expired",
    "settlement_error": "doubt",
}
SHORT_CODES = {
    "ours": ["EMA", "EMPM", "EMBR", "EMMC", "EMAC", "EMACF", "EMDNE"],
    "duplicate": ["EMDR"],
    "later": ["EMG"],
    "doubt": ["EMIDB", "EMIU", "EMSET", "EMSMSG"],
    "refused": ["EMIR", "EMITDNE"],
    "already_cancelled": ["EMQRC"],
    "paid": ["EMQRP"],
    "expired": ["EMQRAE", "EMQRE"],
}
STATUSES = {
    "CANCELLED": "cancelled",
    "PAID": "paid",
    "EXPIRED": "expired",
    "REQUESTED": "payable",
    "VOIDED": "doubt",
    "NOT_FOUND": "doubt",
}


def written(folder: Path, text: str | bytes) -> Path:
    """Return a dialect file that holds this text."""
    path = folder / "dialect.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(("code", "verdict"), CODES.items())
def test_the_published_codes_are_known(code: str, verdict: str) -> None:
    for dialect in (BUILT_IN, built_in()):
        for spelled in (code, code.upper(), code.lower()):
            assert dialect.codes(spelled, None) == {verdict}


@pytest.mark.parametrize(
    ("short", "verdict"), [(s, verdict) for verdict, listed in SHORT_CODES.items() for s in listed]
)
def test_the_published_short_codes_are_known(short: str, verdict: str) -> None:
    assert BUILT_IN.codes(None, short) == {verdict}
    assert BUILT_IN.codes("a code that nobody knows", short.lower()) == {verdict}


@pytest.mark.parametrize(("status", "verdict"), STATUSES.items())
def test_the_published_statuses_are_known(status: str, verdict: str) -> None:
    assert BUILT_IN.status((status,)) == BUILT_IN.status((status.lower(),)) == {verdict}


def test_nothing_else_is_built_in() -> None:
    shorts = {short for listed in SHORT_CODES.values() for short in listed}
    assert set(BUILT_IN.short_codes) == shorts
    assert set(BUILT_IN.statuses) == set(STATUSES)
    assert set(BUILT_IN.error_codes) == set(CODES)


@given(st.text())
def test_a_word_that_is_not_listed_has_no_verdict(word: str) -> None:
    folded = word.casefold()
    if folded not in map(str.casefold, CODES):
        assert BUILT_IN.codes(word, None) == set()
    if folded not in map(str.casefold, STATUSES):
        assert BUILT_IN.status((word,)) == {None}


def test_two_codes_that_agree_are_one_verdict_and_others_two() -> None:
    assert BUILT_IN.codes("qr_paid", "EMQRP") == {CodeVerdict.PAID}
    assert BUILT_IN.codes("qr_paid", "EMQRC") == {CodeVerdict.PAID, CodeVerdict.ALREADY_CANCELLED}
    assert BUILT_IN.codes(None, None) == set()


def test_several_statuses_are_judged_word_by_word() -> None:
    assert BUILT_IN.status(("PAID", "NEW")) == {StatusVerdict.PAID, None}
    assert BUILT_IN.status(()) == set()


def test_an_exact_word_outranks_a_prefix_and_a_longer_prefix_a_shorter() -> None:
    dialect = Dialect.model_validate(
        {"error_codes": {"kp_*": "later", "kp_x*": "paid", "kp_xy": "ours"}}
    )
    assert dialect.codes("KP_A", None) == {CodeVerdict.LATER}
    assert dialect.codes("KP_XA", None) == {CodeVerdict.PAID}
    assert dialect.codes("KP_XY", None) == {CodeVerdict.OURS}
    assert dialect.codes("KP", None) == set()


def test_a_file_extends_and_overrides_what_is_built_in(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [error_codes]
        General_Error = "doubt"
        KP001 = "already_cancelled"
        [statuses]
        REVOKED = "cancelled"
        """,
    )
    dialect = load_dialect(path)
    assert dialect.codes("general_error", None) == {CodeVerdict.DOUBT}
    assert dialect.codes("kp001", None) == {CodeVerdict.ALREADY_CANCELLED}
    assert dialect.status(("revoked",)) == {StatusVerdict.CANCELLED}
    assert dialect.codes("qr_paid", "EMQRP") == {CodeVerdict.PAID}
    assert "General_Error" in dialect.error_codes
    assert "general_error" not in dialect.error_codes


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load_dialect(written(tmp_path, "")) == BUILT_IN


def test_a_word_is_known_however_it_is_spelled_in_the_table() -> None:
    dialect = Dialect.model_validate({"statuses": {" Cancelled ": "cancelled"}})
    assert dialect.status(("CANCELLED",)) == {StatusVerdict.CANCELLED}


VERDICTS = "'already_cancelled', 'paid', 'expired', 'refused', 'later', 'ours', 'duplicate'"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# ours\n[error_codes", ": cannot be read: Expected ']' at the end of a table"),
        ("# ours\nx canary", "(at line 2, column 3)"),
        ("# ours\nx = canary", ": cannot be read: Invalid value (at line 2, column 5)"),
        ("[error_codes]\nX = 'canary\n'", "(at line 2, column 12)"),
        (b"# ours\n\xff\xfe", ", line 2: cannot be read: it is not UTF-8 text"),
        ("n = " + "9" * 5000, ": cannot be read: a number is too long, or brackets"),
        ("n = " + "[" * 20_000, ": cannot be read: a number is too long, or brackets"),
        (
            '\n[error_codes]\nX = "canary"',
            f": error_codes.X: must be {VERDICTS} or 'doubt'",
        ),
        ("[error_codes]\nX = 5", ": error_codes.X: must be 'already_cancelled', 'pa"),
        ("[error_codes]\nX = ['paid']", ": error_codes.X: must be 'already_cancelled'"),
        ("[error_codes.X]\nY = 'paid'", ": error_codes.X: must be 'already_cancelled'"),
        ('error_codes.X = "canary"', ": error_codes.X: must be 'already_cancelled'"),
        ('error_codes = { X = "canary" }', ": error_codes.X: must be 'already_canc"),
        ("[error_codes]\nX.1 = 'paid'", ": error_codes.X: must be 'already_cancelled'"),
        ('[statuses]\n"X Y" = "canary"', ": statuses.\"X Y\": must be 'cancelled', 'paid"),
        ('[statuses]\n"\\u001b" = "canary"', ': statuses."\\U0000001b": must be'),
        (
            '[statuses]\nX = "later"',
            ": statuses.X: must be 'cancelled', 'paid', 'expired', 'payable' or 'doubt'",
        ),
        (
            '\n[codes]\nX = "paid"',
            ": codes: there is no such table, only error_codes, short_codes, statuses",
        ),
        ('secret = "canary"', ": secret: there is no such table, only error_codes,"),
        ('error_codes = "canary"', ": error_codes: must be a table: [error_codes]"),
        ("[[error_codes]]", ": error_codes: must be a table: [error_codes]"),
        (
            '[statuses]\nA = "paid"\n"*" = "cancelled"',
            ': statuses."*": an empty word, or a bare *, would speak for every word',
        ),
        ('[statuses]\n"" = "cancelled"', ': statuses."": an empty word, or a bare *'),
        ('[statuses]\n" " = "cancelled"', ': statuses." ": an empty word, or a bare *'),
        (
            '[short_codes]\nEMX = "paid"\n# ours\nemx = "later"',
            ": short_codes.emx: is the same word again, for case does not matter, first as",
        ),
        (
            '[short_codes]\nEMX = "paid"\nEMX = "later"',
            ": cannot be read: Cannot overwrite a value (at line 3, column ",
        ),
        (
            '[statuses]\nA = "paid"\n[error_codes]\n[statuses]\nB = "paid"',
            ": cannot be read: Cannot declare ('statuses',) twice (at line 4, column ",
        ),
        (
            '[statuses]\nA = "paid"\nA = """\nexpired"""',
            ": cannot be read: Cannot overwrite a value (at line 4, column ",
        ),
        ('statuses = { A = "paid", A = "paid" }', "Duplicate inline table key 'A' (at line 1"),
        ("a.b = 1\n[a]", ": cannot be read: Cannot declare ('a',) twice (at line 2, column "),
        ("a = 1\na.b = 2", ": cannot be read: Cannot "),
    ],
    ids=lambda value: str(value)[:25],
)
def test_a_wrong_file_is_told_by_key(tmp_path: Path, text: str | bytes, told: str) -> None:
    """Only keys are ever told of it: it may be the wrong file, with a secret in it."""
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as error:
        load_dialect(path)
    line = str(error.value)
    assert line.startswith(f"KPLUS_DIALECT_FILE: {path}")
    assert told in line
    assert "canary" not in line
    assert ("first as EMX" in line) == ("emx" in line)
    assert len(line.splitlines()) == 1


def test_a_file_is_read_whichever_editor_wrote_it(tmp_path: Path) -> None:
    path = written(tmp_path, b'\xef\xbb\xbf[statuses]\r\nREVOKED = "cancelled"\r\n')
    assert load_dialect(path).status(("REVOKED",)) == {StatusVerdict.CANCELLED}


def test_every_wrong_key_is_named_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path, '[statuses]\nB = "y"\n[error_codes]\nA = "x"')
    with pytest.raises(SettingsError) as error:
        load_dialect(path)
    assert [line.partition(".toml: ")[2][:20] for line in str(error.value).splitlines()] == [
        "error_codes.A: must ",
        "statuses.B: must be ",
    ]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"KPLUS_DIALECT_FILE: .* cannot be read"):
        load_dialect(tmp_path / "absent.toml")
    with pytest.raises(SettingsError, match=r"^FILE: .* cannot be read: Is a directory$"):
        load_dialect(tmp_path, named="FILE")
    with pytest.raises(SettingsError, match="cannot be read: embedded null byte"):
        load_dialect(tmp_path / "a\0b")
