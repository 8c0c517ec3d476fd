"""How the whole bank behaves, for every token: its mode, and what the documentation leaves open."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

MODES = {
    "ok": "open for business",
    "down": "every POST is answered with an empty HTTP 503",
    "maintenance": "every POST is answered with HTTP 503, an HTML page and `Retry-After`",
    "silent": "every POST is read and never answered; a change of mode drops the connection",
    "refuse": "the port is closed: connections are refused, idle ones are closed",
}
_CHOICES = {
    "mode": tuple(MODES),
    "repeats": ("process", "strict", "strictest", "replay"),
    "recancel": ("list", "code"),
    "too_late": ("list", "code"),
}
_REQUEST_DTS = ("unix", "unix_ms", "iso8601")


class RulesError(ValueError):
    """A rule does not exist, or was set to an invalid value."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The current rules. Each default is the simplest reading of the documentation."""

    # One of MODES.
    mode: str = "ok"
    latency_ms: float = 0.0
    # A repeated partnerTxnUid is processed again, refused (`strict`: if the first one was
    # processed; `strictest`: if the first one could be read), or answered as the first one.
    repeats: str = "process"
    # How a cancel reports a token that is cancelled already, and one that is paid or expired:
    # by the status in the token list, or by an errorCode.
    recancel: str = "list"
    too_late: str = "code"
    # The HTTP status of errors, and that of authentication errors.
    error_http: int = 200
    auth_http: int = 200
    request_dt: tuple[str, ...] = ("unix",)
    clock_skew_seconds: float | None = None
    longest_uid: int | None = None
    token_life_seconds: float | None = None
    # More POSTs of one partner within a second are answered with HTTP 429.
    rate_per_second: int | None = None
    retry_after_seconds: int = 30

    def changed(self, wanted: Mapping[str, object]) -> "Rules":
        """Return these rules with some changes. Raises `RulesError` for invalid values."""
        for name, value in wanted.items():
            _check(name, value)
        settled = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in wanted.items()
        }
        return replace(self, **settled)  # type: ignore[arg-type] # _check saw each of them

    def as_json(self) -> dict[str, object]:
        """Return the rules as `GET /control/mode` shows them."""
        return asdict(self)


def _check(name: str, value: object) -> None:
    names = {each.name: str(each.type) for each in fields(Rules)}
    if name not in names:
        message = f"there is no rule {name!r}; there are: {', '.join(names)}"
        raise RulesError(message)
    if name in _CHOICES:
        good = value in _CHOICES[name]
    elif name == "request_dt":
        good = isinstance(value, (list, tuple)) and bool(value) and set(value) <= {*_REQUEST_DTS}
    else:
        good = _is_number(value, names[name])
    if not good:
        known = _CHOICES.get(name, _REQUEST_DTS if name == "request_dt" else ("a number",))
        message = f"{name} cannot be {value!r}; it can be: {', '.join(known)}"
        raise RulesError(message)


def _is_number(value: object, wanted: str) -> bool:
    if value is None:
        return "None" in wanted
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        return False
    return "float" in wanted or isinstance(value, int)
