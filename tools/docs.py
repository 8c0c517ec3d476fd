"""
The generated parts of the pages: `python -m tools.docs` renews them, a test compares them.

What is printed from the tests is renewed by them: `python -m tests.integration.behaviours`.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from tools import asyncapi, sql
from tools.tree import ROOT
from worker.bank import FAULTS
from worker.config.dialect_file import built_in
from worker.config.outbox import OutcomeSettings
from worker.config.settings import Settings
from worker.config.sources import PREFIX, SECRETS
from worker.domain import states
from worker.domain.answer import Answer
from worker.domain.backoff import Backoff
from worker.domain.decision import Case, Policy
from worker.domain.judgement import decide
from worker.domain.kplus import CancelRequest
from worker.errors import (
    AnswerLost,
    BankError,
    BankUnreachable,
    BankUntrusted,
    CertificateRefused,
)

PAGES = (
    "docs/explanation/architecture.md",
    "docs/explanation/judgement.md",
    "docs/how-to/producers.md",
    "docs/reference/bank.md",
    "docs/reference/behaviours.md",
    "docs/reference/settings.md",
    "docs/reference/sql.md",
    "docs/reference/states.md",
)
EXAMPLES = sorted((ROOT / "docs" / "how-to" / "examples").iterdir())
_FENCES = {".mjs": "js", ".php": "php", ".py": "python", ".sh": "sh"}
_PART = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_REQUEST = CancelRequest("RGH001", "KP2XXX", "TOKEN1", "ORDER-1")


Parts = Mapping[str, Callable[[], str]]


def renewed(page: str, parts: Parts) -> str:
    """Return a page with those of its generated parts that are named as they would be now."""

    def fresh(part: re.Match[str]) -> str:
        make = parts.get(part["name"])
        return part[0] if make is None else f"{part[1]}\n{make()}\n\n{part[3]}"

    return _PART.sub(fresh, page)


def renew(parts: Parts) -> None:
    """Write the pages anew where these parts stand in them."""
    for name in PAGES:
        page = ROOT / name
        page.write_text(renewed(page.read_text(encoding="utf-8"), parts), encoding="utf-8")


def names(page: str) -> list[str]:
    """Return what the generated parts of a page are called."""
    return [part["name"] for part in _PART.finditer(page)]


def _layers() -> str:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(c for c in contracts["contracts"] if c["id"] == "layers")["layers"]
    return "\n".join(["```text", *(re.sub(r"[()]", "", layer) for layer in layers), "```"])


def _diagram() -> str:
    return f"```mermaid\n{states.diagram()}\n```"


def _answer(  # noqa: PLR0913 - an answer has as many parts
    code: str | None,
    status: str | Sequence[str] | None = (),
    *,
    error: str | None = None,
    desc: str | None = None,
    http: int = 200,
    uid: str | None = "RGH001",
    token: str = "TOKEN1",  # noqa: S107 - a token's id, not a password
) -> Answer:
    """Return an answer as it is read from the wire; without a status there is no token list."""
    document: dict[str, object] = {
        "partnerTxnUid": uid,
        "partnerId": "KP2XXX",
        "statusCode": code,
        "errorCode": error,
        "errorDesc": desc,
    }
    if status != ():
        entry = {"tokenId": token, "reference1": "ORDER-1", "status": status}
        document["tokenList"] = [entry]
    return Answer.read(http_status=http, headers={}, body=json.dumps(document).encode(), at=_AT)


def _examples() -> Iterator[tuple[str, Answer | BankError, bool]]:
    """Yield what is heard, in words and as a value, and whether an earlier attempt was in doubt."""
    yield "`00`, our ids, our token `CANCELLED`", _answer("00", "CANCELLED"), False
    yield "`00`, our token `PAID`", _answer("00", "PAID"), False
    yield "`00`, our token `EXPIRED`", _answer("00", "EXPIRED"), False
    yield "`00`, our token still `REQUESTED`", _answer("00", "REQUESTED"), False
    yield "`00`, no token list", _answer("00"), False
    yield "`00`, our token's status null", _answer("00", None), False
    yield "`00`, a status nobody knows", _answer("00", "WITHDRAWN"), False
    yield "`00`, two statuses, `CANCELLED` and `PAID`", _answer("00", ("CANCELLED", "PAID")), False
    yield "`00`, another token only", _answer("00", "CANCELLED", token="TOKEN2"), False  # noqa: S106 - the same
    yield "`00`, another `partnerTxnUid` echoed", _answer("00", "CANCELLED", uid="OTHER"), False
    yield "`00` with an `errorCode`", _answer("00", "CANCELLED", error="general_error"), False
    yield "`00` under HTTP 500", _answer("00", "CANCELLED", http=500), False
    yield "`qr_cancelled`", _answer("10", error="qr_cancelled"), False
    yield "`qr_paid`", _answer("10", error="qr_paid"), False
    yield "`qr_expired`", _answer("10", error="qr_expired"), False
    yield "`invalid_tokenId`", _answer("10", error="invalid_tokenId"), False
    yield "`invalid_tokenId` after doubt", _answer("10", error="invalid_tokenId"), True
    yield "`general_error`", _answer("10", error="general_error"), False
    yield "an unknown code with `(EMG)`", _answer("10", error="new", desc="Busy (EMG)"), False
    yield "`internal_error`", _answer("10", error="internal_error"), False
    yield "`duplicate_request`", _answer("10", error="duplicate_request"), False
    yield "`authentication_error`", _answer("10", error="authentication_error"), False
    yield "a code nobody has seen", _answer("10", error="new_error"), False
    yield "a code nobody has seen, HTTP 401", _answer("10", error="new_error", http=401), False
    yield "a code nobody has seen, HTTP 404", _answer("10", error="new_error", http=404), False
    for status in (200, 307, 400, 401, 403, 404, 408, 429, 500, 502, 503):
        yield f"HTTP {status}, not the bank's body", Answer(status, None, "not JSON"), False
    yield "the body too large, compressed or cut", Answer(200, None, "too large"), False
    yield "no connection, no name, no time left", _fault(BankUnreachable, "connect_failed"), False
    yield "TLS not verified", _fault(BankUntrusted, "tls_untrusted"), False
    yield "our client certificate refused", _fault(CertificateRefused, "tls_refused"), False
    yield "the line dropped after the request", _fault(AnswerLost, "connection_dropped"), False
    yield "the deadline", _fault(AnswerLost, "deadline"), False


def _fault(kind: type[BankError], word: str) -> BankError:
    if word not in FAULTS:
        raise LookupError(word)
    return kind("…", fault=word)


def _judgement() -> str:
    lines = [
        "| heard | event | outcome | stored as `heard` | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for said, heard, doubted in _examples():
        decision = decide(heard, _case(doubted=doubted), _policy())
        flags = {
            "unspent": not decision.spent,
            "pauses": decision.pause_reason is not None,
            "rests": decision.turned_away,
        }
        notes = [note for note, holds in flags.items() if holds]
        lines.append(
            f"| {said} | {decision.event} | {decision.outcome or ''} | `{decision.heard}` "
            f"| {', '.join(notes)} |"
        )
    return "\n".join(lines)


def _case(*, doubted: bool) -> Case:
    return Case(
        request=_REQUEST,
        attempts=2 if doubted else 1,
        doubted=doubted,
        created_at=_AT,
        expires_at=None,
        at=_AT,
        jitter=0.5,
    )


def _policy() -> Policy:
    backoff = Backoff(base=timedelta(seconds=2), cap=timedelta(minutes=5))
    return Policy(built_in(), backoff, backoff, max_attempts=20, max_age=timedelta(days=1))


def _dialect() -> str:
    words = built_in()
    tables: dict[str, Mapping[str, str]] = {
        "`errorCode`": words.error_codes,
        "short code": words.short_codes,
        "token status": words.statuses,
    }
    lines = ["| word | is a | verdict |", "| --- | --- | --- |"]
    for kind, verdicts in tables.items():
        lines += [f"| `{word}` | {kind} | {verdict} |" for word, verdict in verdicts.items()]
    return "\n".join(lines)


def _settings() -> str:
    lines = ["| name | default | meaning |", "| --- | --- | --- |"]
    later = OutcomeSettings.model_fields
    for name, field in sorted(Settings.model_fields.items(), key=lambda item: item[0] in later):
        file = f" (or `{PREFIX}{name.upper()}_FILE`)" if name in SECRETS else ""
        lines.append(
            f"| `{PREFIX}{name.upper()}`{file} | {_default(field.default)} | {field.description} |"
        )
    return "\n".join(lines)


def _default(value: Any) -> str:
    if value is None:
        return "unset"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _example(path: Path) -> Callable[[], str]:
    return lambda: f"```{_FENCES[path.suffix]}\n{path.read_text(encoding='utf-8')}```"


PARTS: Parts = {
    "layers": _layers,
    "diagram": _diagram,
    "arrows": states.table,
    "judgement": _judgement,
    "dialect": _dialect,
    "settings": _settings,
    **sql.PARTS,
    **{path.stem: _example(path) for path in EXAMPLES},
}


if __name__ == "__main__":
    renew(PARTS)
    asyncapi.PAGE.write_text(asyncapi.document())
