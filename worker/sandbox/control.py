"""The control API: journal, tokens and switches, for tests and demonstrations."""

from collections.abc import Callable

from worker.sandbox.bank import Bank
from worker.sandbox.rules import RulesError
from worker.sandbox.scenarios import GROUPS
from worker.sandbox.scripts import UnknownScenario, script
from worker.sandbox.tokens import TokenStatus
from worker.sandbox.wire import Request, json_object

Reply = tuple[int, object]


class Control:
    """Answers every request that is not for the bank."""

    def __init__(
        self, bank: Bank, change_rules: Callable[[dict[str, object], float | None], None]
    ) -> None:
        self._bank = bank
        self._change_rules = change_rules
        self._routes: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", "/healthz"): self._health,
            ("GET", "/journal"): self._journal,
            ("GET", "/journal/counts"): lambda _: (200, bank.journal.counts()),
            ("GET", "/scenarios"): lambda _: (200, _scenarios()),
            ("GET", "/control/mode"): lambda _: (200, bank.rules.as_json()),
            ("PUT", "/control/mode"): self._mode,
            ("POST", "/control/reset"): self._reset,
        }
        self._token_routes: dict[tuple[str, str], Callable[[str, Request], Reply]] = {
            ("GET", "/tokens"): self._token,
            ("POST", "/control/pay"): self._pay,
            ("POST", "/control/expire"): self._expire,
            ("POST", "/control/release"): self._release,
            ("PUT", "/control/script"): self._script,
        }

    def serves(self, request: Request) -> bool:
        """Say whether the request is for the control API: every other POST is for the bank."""
        return request.method != "POST" or request.path.startswith("/control/")

    def answer(self, request: Request) -> Reply:
        """Return the HTTP status and the JSON content of the answer."""
        route = self._routes.get((request.method, request.path))
        if route is not None:
            return route(request)
        prefix, _, token_id = request.path.rpartition("/")
        token_route = self._token_routes.get((request.method, prefix))
        if token_route is not None and token_id:
            return token_route(token_id, request)
        return 404, {"error": f"nothing is served at {request.method} {request.path[:200]}"}

    def _health(self, _request: Request) -> Reply:
        return 200, {"status": "ok", "mode": self._bank.rules.mode}

    def _journal(self, request: Request) -> Reply:
        query, journal = request.query, self._bank.journal
        try:
            since = int(query.get("since", "0"))
            limit = int(query["limit"]) if "limit" in query else None
        except ValueError:
            return 422, {"error": "since and limit are whole numbers"}
        uid, token = query.get("uid"), query.get("token")
        entries = journal.entries(
            since=since, uid=uid, token=token, operation=query.get("operation"), limit=limit
        )
        return 200, {
            "counts": journal.counts(),
            "overlapping_uids": _only(journal.overlaps(), uid),
            "overlapping_tokens": _only(journal.overlapping_tokens(), token),
            "posts_per_uid": _narrowed(journal.posts_per_uid(), uid),
            "effects_per_token": _narrowed(journal.effects(), token),
            "tokens": self._bank.ledger.statuses(),
            "entries": [entry.as_json() for entry in entries],
        }

    def _token(self, token_id: str, _request: Request) -> Reply:
        token = self._bank.ledger.find(token_id)
        if token is None:
            return 404, {"error": f"no request has named token {token_id[:200]} yet"}
        return 200, token.as_json()

    def _pay(self, token_id: str, _request: Request) -> Reply:
        self._bank.open_token(token_id)
        return self._moved(token_id, self._bank.ledger.pay(token_id))

    def _expire(self, token_id: str, _request: Request) -> Reply:
        self._bank.open_token(token_id)
        return self._moved(token_id, self._bank.ledger.expire(token_id))

    def _moved(self, token_id: str, moved: tuple[TokenStatus, bool]) -> Reply:
        status, changed = moved
        if not changed:
            return 409, {"error": f"the token is {status.value}", "status": status.value}
        return self._token(token_id, Request("GET", "", {}, keep_alive=True, headers={}))

    def _release(self, token_id: str, _request: Request) -> Reply:
        self._bank.ledger.release(token_id)
        return 200, {"released": token_id}

    def _script(self, token_id: str, request: Request) -> Reply:
        wanted = json_object(request.body)
        if wanted is None or not set(wanted) <= {"cancel", "inquiry"}:
            return 422, {"error": 'send {"cancel": [names], "inquiry": [names]}'}
        try:
            chosen = script(_names(wanted.get("cancel")), _names(wanted.get("inquiry")))
        except UnknownScenario as unknown:
            return 422, {"error": str(unknown)}
        self._bank.scripts.set(token_id, chosen)
        return 200, {"script": token_id}

    def _mode(self, request: Request) -> Reply:
        wanted = json_object(request.body)
        if wanted is None:
            return 422, {"error": 'send a JSON object, such as {"mode": "down"}'}
        seconds = wanted.pop("for_seconds", None)
        if seconds is not None and not isinstance(seconds, (int, float)):
            return 422, {"error": "for_seconds is a number"}
        if wanted.get("mode") == "refuse" and seconds is None:
            return 422, {"error": "refuse closes this port too: set for_seconds"}
        try:
            self._change_rules(wanted, seconds)
        except RulesError as error:
            return 422, {"error": str(error)}
        return 200, self._bank.rules.as_json()

    def _reset(self, _request: Request) -> Reply:
        self._bank.reset()
        self._change_rules({}, None)
        return 200, {"reset": True}


def _names(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    raise UnknownScenario("a script is a list of names of scenarios")


def _only(found: list[str], key: str | None) -> list[str]:
    return [each for each in found if key in {None, each}]


def _narrowed(counted: dict[str, int], key: str | None) -> dict[str, int]:
    return counted if key is None else {key: counted.get(key, 0)}


def _scenarios() -> dict[str, dict[str, str]]:
    return {
        group: {each.name: each.does for each in scenarios} for group, scenarios in GROUPS.items()
    }
