"""Shapes: each changes one thing in the bank's true answer."""

import gzip
import zlib
from collections.abc import Callable
from email.utils import formatdate

from worker.sandbox import answers, wire
from worker.sandbox.answers import Draft
from worker.sandbox.play import Step

Shape = Callable[[Draft, Step], None]

_PAGE = (
    b"<!doctype html><html><head><title>%s</title></head><body><h1>%s</h1>"
    b"<p>KBank Open API gateway</p></body></html>"
)


def truth(_draft: Draft, _step: Step) -> None:
    """Change nothing."""


def code(error_code: str, *, http_status: int = 200) -> Shape:
    """Refuse with this errorCode."""

    def shape(draft: Draft, _step: Step) -> None:
        draft.answer = answers.refusal(draft.call, error_code)
        draft.http_status = http_status

    return shape


def code_as_asked(draft: Draft, step: Step) -> None:
    """Refuse with the errorCode, and under the HTTP status, that the token id names."""
    draft.answer = answers.refusal(draft.call, step.text)
    draft.http_status = int(step.number)


def short_code(draft: Draft, step: Step) -> None:
    """Refuse with an unknown errorCode, and the named short code after the description."""
    desc = f"Something is the matter. ({step.text.upper()})"
    draft.answer = answers.refusal(draft.call, "kplus_error", desc=desc)


def say(draft: Draft, step: Step) -> None:
    """Claim that the token has the named status."""
    status = step.text.upper()
    draft.answer = answers.cancelled(draft.call, status)
    if draft.call.operation == answers.INQUIRY:
        draft.answer.pop("tokenList")
        draft.answer |= {"tokenId": draft.call.token_id, "paymentStatus": status}


def status(change: Callable[[str], object]) -> Shape:
    """Give the token's status another form."""

    def shape(draft: Draft, _step: Step) -> None:
        listed = _listed(draft)
        if listed:
            listed[0]["status"] = change(str(listed[0]["status"]))
        elif "paymentStatus" in draft.answer:
            draft.answer["paymentStatus"] = change(str(draft.answer["paymentStatus"]))

    return shape


def without_status(draft: Draft, _step: Step) -> None:
    """Leave the token's status out."""
    draft.answer.pop("paymentStatus", None)
    for listed in _listed(draft):
        listed.pop("status", None)


def field(name: str, value: object) -> Shape:
    """Set one field of the answer."""

    def shape(draft: Draft, _step: Step) -> None:
        draft.answer[name] = value

    return shape


def without(*names: str) -> Shape:
    """Leave fields out."""

    def shape(draft: Draft, _step: Step) -> None:
        for name in names:
            draft.answer.pop(name, None)

    return shape


def listed_field(name: str, value: str) -> Shape:
    """Set one field of the listed token, or of an inquiry's answer."""

    def shape(draft: Draft, _step: Step) -> None:
        for target in _listed(draft) or [draft.answer]:
            target[name] = value

    return shape


def token_list(change: Callable[[list[dict[str, object]]], object]) -> Shape:
    """Give the token list another form."""

    def shape(draft: Draft, _step: Step) -> None:
        if "tokenList" in draft.answer:
            draft.answer["tokenList"] = change(_listed(draft))

    return shape


def raw(body: bytes, *, http_status: int = 200, content_type: str = "application/json") -> Shape:
    """Answer with bytes of another kind."""

    def shape(draft: Draft, _step: Step) -> None:
        draft.raw, draft.http_status = body, http_status
        draft.headers["Content-Type"] = content_type

    return shape


def page(http_status: int, title: str) -> Shape:
    """Answer with an HTML page, as gateways do."""
    text = title.encode()
    return raw(_PAGE % (text, text), http_status=http_status, content_type="text/html")


def rewritten(rewrite: Callable[[bytes], bytes]) -> Shape:
    """Rewrite the bytes of the true answer."""

    def shape(draft: Draft, _step: Step) -> None:
        draft.raw = rewrite(wire.as_json(draft.answer))

    return shape


def empty_as_asked(draft: Draft, step: Step) -> None:
    """Answer with the HTTP status that the token id names, and an empty body."""
    draft.http_status, draft.raw, draft.headers = int(step.number), b"", {}


def under_as_asked(draft: Draft, step: Step) -> None:
    """Send the true answer under the HTTP status that the token id names."""
    draft.http_status = int(step.number)


def compressed(draft: Draft, _step: Step) -> None:
    """Compress the answer, though the client did not accept that."""
    draft.raw = gzip.compress(wire.as_json(draft.answer))
    draft.headers["Content-Encoding"] = "gzip"


def bomb(draft: Draft, step: Step) -> None:
    """Compress megabytes of blanks into a few bytes."""
    packer = zlib.compressobj(wbits=31)
    blanks = b" " * 1_048_576
    packed = b"".join(packer.compress(blanks) for _ in range(int(step.number)))
    draft.raw = packed + packer.flush()
    draft.headers["Content-Encoding"] = "gzip"


def limited(draft: Draft, step: Step) -> None:
    """Ask for a pause of so many seconds."""
    code("general_error", http_status=429)(draft, step)
    draft.headers["Retry-After"] = f"{step.number:.15g}"


def limited_until(draft: Draft, step: Step) -> None:
    """Ask for a pause until a date."""
    code("general_error", http_status=429)(draft, step)
    draft.headers["Retry-After"] = formatdate(step.now + step.number, usegmt=True)


def limited_oddly(draft: Draft, step: Step) -> None:
    """Ask for a pause in words."""
    code("general_error", http_status=429)(draft, step)
    draft.headers["Retry-After"] = "in a while"


def redirected(draft: Draft, step: Step) -> None:
    """Redirect the client: if it follows with a POST, the journal has it."""
    draft.http_status, draft.raw = int(step.number), b""
    draft.headers["Location"] = "/elsewhere"


def echoes_secret(draft: Draft, _step: Step) -> None:
    """Send the secret back in a field, as one answer of the product family does."""
    draft.answer["partnerSecret"] = draft.call.secret


def describes_secret(draft: Draft, _step: Step) -> None:
    """Refuse, with the secret in the middle of the description."""
    desc = f"Key {draft.call.secret} is not known here. (EMXX)"
    draft.answer = answers.refusal(draft.call, "kplus_error", desc=desc)


def prints_secret(draft: Draft, step: Step) -> None:
    """Answer with an HTML page that prints the request with its secret."""
    page(500, f"Unhandled: partnerSecret={draft.call.secret}")(draft, step)


def _listed(draft: Draft) -> list[dict[str, object]]:
    listed = draft.answer.get("tokenList")
    return listed if isinstance(listed, list) else []
