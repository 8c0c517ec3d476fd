"""How the whole bank behaves, whatever the token: its mode, and the choices nobody documented."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

MODES = {
    "ok": "open for business",
    "down": "every POST is answered with an empty HTTP 503",
    "maintenance": "every POST is answered with HTTP 503, an HTML page and `Retry-After`",
    "silent": "every POST is read and never answered; a change of mode drops the line",
    "refuse": "nobody listens on the port: connections are refused, idle ones are closed",
}
_CHOICES = {
    "mode": tuple(MODES),
    "repeats": ("process", "strict", "strictest", "replay"),
    "recancel": ("list", "code"),
    "too_late": ("list", "code"),
}
_REQUEST_DTS = ("unix", "unix_ms", "iso8601")


class RulesError(ValueError):
    """A rule was set to something it cannot be."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in force. Each default is the plainest reading of what is documented."""

    # What `mode` can be stands in MODES.
    mode: str = "ok"
    latency_ms: float = 0.0
    # A repeated partnerTxnUid is processed again, refused (`strict`: where the first one was taken
    # up; `strictest`: wherever the first one could be read), or answered with the first result.
    repeats: str = "process"
    # How a cancel learns that its token is cancelled already, and that it is paid or expired:
    # from the status in the token list, or from an errorCode.
    recancel: str = "list"
    too_late: str = "code"
    # The HTTP status under which errors travel, and authentication errors apart.
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
        """Return these rules with some of them set anew; raise a rules error for nonsense."""
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
