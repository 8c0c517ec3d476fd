"""Every form in which a secret may come back: encodings, encodings of encodings, and mixes."""

import base64
import html
import json
import quopri
from collections.abc import Callable
from random import Random
from urllib.parse import quote, quote_plus

Encoding = Callable[[str], str]
HALF = 0.5


def _packed(text: str, *, shift: int = 0) -> str:
    """Return what is the same in base64 whatever stands before and after."""
    return base64.b64encode(b"x" * shift + text.encode()).decode()[4 if shift else 0 : -4]


def _wrapped(text: str, *, every: int = 7, mark: str = "\r\n ") -> str:
    return mark.join(text[at : at + every] for at in range(0, len(text), every))


def _each(form: str) -> Encoding:
    return lambda text: "".join(form.format(ord(char)) for char in text)


def some_of(encode: Encoding, *, seed: int) -> Encoding:
    """Return an encoding of some characters only; those that are no letters are always."""

    def encoded(text: str) -> str:
        chance = Random(seed)  # noqa: S311 - the same each time
        return "".join(
            encode(char) if not char.isalnum() or chance.random() < HALF else char for char in text
        )

    return encoded


def mixed(*encodings: Encoding, seed: int) -> Encoding:
    """Return a mix: each character in another encoding."""

    def encoded(text: str) -> str:
        chance = Random(seed + sum(map(ord, text)))  # noqa: S311 - the same each time
        return "".join(chance.choice(encodings)(char) for char in text)

    return encoded


def _each_byte(form: str) -> Encoding:
    return lambda text: "".join(form.format(byte) for byte in text.encode())


PERCENT = _each_byte("%{:02X}")
JSON_ESCAPE = _each("\\u{:04x}")
ENTITY = _each("&#{};")

ENCODINGS: dict[str, Encoding] = {
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "JSON of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON of Go": lambda text: (
        json.dumps(text)[1:-1]
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
    ),
    "JSON, each character": JSON_ESCAPE,
    "JSON, in capitals": _each("\\u{:04X}"),
    "Python": lambda text: repr(text)[1:-1],
    "C": _each_byte("\\x{:02x}"),
    "octal": _each_byte("\\{:03o}"),
    "JavaScript": _each("\\u{{{:x}}}"),
    "JavaScript of old": _each("%u{:04X}"),
    "URL": lambda text: quote(text, safe=""),
    "URL in small letters": _each_byte("%{:02x}"),
    "URL, each character": PERCENT,
    "path": quote,
    "form": quote_plus,
    "encodeURIComponent": lambda text: quote(text, safe="-_.!~*'()"),
    "URL in URL": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "HTML, numbers": ENTITY,
    "HTML, padded numbers": _each("&#{:07d};"),
    "HTML, hexadecimal": _each("&#x{:x};"),
    "HTML, hexadecimal in capitals": _each("&#X{:04X};"),
    "HTML, names": lambda text: (
        html.escape(text)
        .replace("(", "&lpar;")
        .replace(")", "&rpar;")
        .replace("@", "&commat;")
        .replace("+", "&plus;")
        .replace("/", "&sol;")
    ),
    "HTML in HTML": lambda text: html.escape(html.escape(text)),
    "quoted-printable": lambda text: quopri.encodestring(text.encode(), quotetabs=True).decode(),
    "quoted-printable, each": _each_byte("={:02X}"),
    "hex": lambda text: text.encode().hex(),
    "hex in capitals": lambda text: text.encode().hex().upper(),
    "hex with colons": lambda text: text.encode().hex(":"),
    "hex with blanks": lambda text: text.encode().hex(" "),
    "hex dump": lambda text: ", ".join(f"0x{byte:02x}" for byte in text.encode()),
    "numbers": lambda text: str(list(text.encode())),
    "UTF-16": lambda text: "".join(f"{char}\0" for char in text),
    "UTF-32": lambda text: "".join(f"\0\0\0{char}" for char in text),
    "hex of UTF-16": lambda text: text.encode("utf-16-be").hex(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16")).decode(),
    "base64 of UTF-32": lambda text: base64.b64encode(text.encode("utf-32-le")).decode(),
    "base64, whole": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 for URLs, whole": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in lines": lambda text: _wrapped(base64.b64encode(text.encode()).decode()),
    "base64 of base64": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 of a URL": lambda text: base64.b64encode(quote(text, safe="").encode()).decode(),
    "base64 of JSON": lambda text: base64.b64encode(json.dumps({"a": text}).encode()).decode(),
    "URL of base64": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "hex of base64": lambda text: base64.b64encode(text.encode()).hex(),
    "in lines": _wrapped,
    "in lines of JSON": lambda text: _wrapped(json.dumps(text)[1:-1], mark="\\n"),
    "some of it in a URL": some_of(PERCENT, seed=1),
    "some of it in JSON": some_of(JSON_ESCAPE, seed=2),
    "some of it in HTML": some_of(ENTITY, seed=3),
    "a mix": mixed(PERCENT, JSON_ESCAPE, ENTITY, seed=4),
    "a mix with letters": some_of(mixed(PERCENT, JSON_ESCAPE, ENTITY, seed=5), seed=6),
}


def forms(secret: str) -> dict[str, str]:
    """Return the secret in every form, by name."""
    encoded = {name: encode(secret) for name, encode in ENCODINGS.items()}
    plain = {name: encoded[name] for name in ("JSON", "JSON of PHP", "URL", "form", "HTML")}
    packed = {
        f"base64 of {name}, shifted by {shift}": _packed(form, shift=shift)
        for name, form in {"plain": secret, **plain}.items()
        for shift in range(3)
    }
    for_urls = {
        f"{name}, for URLs": form.replace("+", "-").replace("/", "_")
        for name, form in packed.items()
    }
    return {"plain": secret} | encoded | packed | for_urls
