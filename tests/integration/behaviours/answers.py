"""Behaviours of one answer: the token, the wait, the line, the clock, HTTP, the body, the words."""

from typing import Final

from tests.integration.behaviours.row import Behaviour, ends, waits
from worker.domain.states import Outcome, State

# fmt: off
# A table reads as a table: one entry to a thought, not one argument to a line.

CLEAR: Final = ends(Outcome.CANCELLED, 1)
PAUSED: Final = waits(State.RETRYABLE, 1, attempts=0, partner="paused")
TURNED_AWAY: Final = waits(State.RETRYABLE, 12, attempts=0, partner="cooling")
"""A gateway answers for the bank: one call probes, as long as the job is not too old."""
AGAIN: Final = (ends(Outcome.CANCELLED, 2), ends(Outcome.CANCELLED, 1, 1))
"""It took effect and was not understood, once: cancelled again, or asked about."""
AFRESH: Final = (ends(Outcome.CANCELLED, 2), ends(Outcome.CANCELLED, 2, 1))
"""It took no effect and was not understood, once: cancelled again, in the end."""
NEVER_TOLD: Final = (ends(Outcome.UNKNOWN, 5), ends(Outcome.CANCELLED, 1, 1))
"""It took effect, and no cancel ever says so."""
NEVER_HEARD: Final = (ends(Outcome.UNKNOWN, 5), ends(Outcome.UNKNOWN, 5, 5))
"""It takes no effect, and no cancel ever says what happened."""
FAILS_FOR_EVER: Final = (
    ends(Outcome.UNKNOWN, 5, partner="cooling"),
    ends(Outcome.UNKNOWN, 5, 5),
)
"""The same, of a bank that fails rather than refuses; an inquiry that it answers calms it."""

LIVES: Final = (
    Behaviour("the token is payable; `00`, `CANCELLED`", "ok", CLEAR),
    Behaviour("it was paid long ago; `qr_paid`", "paid", ends(Outcome.PAID, 1)),
    Behaviour("it was paid long ago; `00`, `PAID`", "paidlist", ends(Outcome.PAID, 1)),
    Behaviour("it has expired; `qr_expired`", "expired", ends(Outcome.EXPIRED, 1)),
    Behaviour("it has expired; `00`, `EXPIRED`", "expiredlist", ends(Outcome.EXPIRED, 1)),
    Behaviour("it was cancelled before; `00`, `CANCELLED` again", "cancelled", CLEAR),
    Behaviour("it was cancelled before; `qr_cancelled`", "cancelledcode",
              ends(Outcome.ALREADY_CANCELLED, 1)),
    Behaviour("the bank never heard of it; `invalid_tokenId`", "unknown",
              ends(Outcome.REFUSED, 1)),
    Behaviour("it expires in a minute, and is cancelled before", "expires60", CLEAR),
)

LATER: Final = (
    Behaviour("busy twice (`general_error`), then fine", "busy2", ends(Outcome.CANCELLED, 3)),
    Behaviour("busy for ever (`general_error`)", "busy99", ends(Outcome.GAVE_UP, 5)),
    Behaviour("an empty HTTP 503 once, then fine", "unavailable1", ends(Outcome.CANCELLED, 2)),
    Behaviour("an empty HTTP 503 for ever", "unavailable99",
              ends(Outcome.GAVE_UP, 5, partner="cooling")),
    Behaviour("`general_error` under HTTP 503, then fine", "busyboth1",
              ends(Outcome.CANCELLED, 2)),
    Behaviour("HTTP 429, `Retry-After` 90 seconds, then fine", "ratelimit90",
              ends(Outcome.CANCELLED, 2, attempts=1)),
    Behaviour("HTTP 429, `Retry-After` a date, then fine", "ratelimitdate90",
              ends(Outcome.CANCELLED, 2, attempts=1)),
    Behaviour("HTTP 429, `Retry-After` unreadable, then fine", "ratelimitodd1",
              ends(Outcome.CANCELLED, 2, attempts=1)),
    Behaviour("HTTP 429, `Retry-After` of a year, then fine", "ratelimit31536000",
              ends(Outcome.CANCELLED, 2, attempts=1)),
    Behaviour("HTTP 429 for ever: only its age ends the job", "ratelimitodd99",
              waits(State.RETRYABLE, 12, attempts=0, partner="cooling")),
    Behaviour("HTTP 429 until the job is too old", "ratelimitodd99",
              ends(Outcome.GAVE_UP, 7, attempts=0, partner="cooling"), longest_age=300),
    Behaviour("HTTP 408 once, then fine", "http408+ok", ends(Outcome.CANCELLED, 2)),
    Behaviour("HTTP 425 for ever", "http425", ends(Outcome.GAVE_UP, 5)),
)

THE_LINE: Final = (
    Behaviour("takes effect, then drops the line", "drop", *AGAIN),
    Behaviour("takes effect, then drops the line every time", "drop99",
              ends(Outcome.UNKNOWN, 5, partner="cooling"), ends(Outcome.CANCELLED, 1, 1)),
    Behaviour("drops the line before any effect", "dropbefore", *AFRESH),
    Behaviour("drops the line before any effect every time", "dropbefore99", *FAILS_FOR_EVER),
    Behaviour("takes effect, closes the line unanswered", "close", *AGAIN),
    Behaviour("takes effect, closes after half the head", "closehead", *AGAIN),
    Behaviour("takes effect, closes after half the body", "closehalf", *AGAIN),
    Behaviour("takes effect, drops the line after half the body", "drophalf", *AGAIN),
    Behaviour("answers well, closes the line unannounced", "stale", CLEAR),
    Behaviour("answers well, a second answer lies behind it", "stray", CLEAR),
)

TIME: Final = (
    Behaviour("takes effect, answers after our deadline", "slow30", *AGAIN, hurried=1),
    Behaviour("takes effect, always answers after our deadline", "crawl30",
              ends(Outcome.UNKNOWN, 5, partner="cooling"), ends(Outcome.CANCELLED, 1, 1),
              hurried=5),
    Behaviour("has taken no effect by our deadline, and may later", "slowbefore30", *AFRESH,
              hurried=1),
    Behaviour("drips its head, longer than our deadline", "driphead100+ok", *AGAIN, hurried=1),
    Behaviour("drips its body, longer than our deadline", "dripbody100+ok", *AGAIN, hurried=1),
    Behaviour("drips its body, within our deadline", "dripbody1", CLEAR),
)

HTTP: Final = (
    Behaviour("an empty HTTP 400 for ever", "http400", *NEVER_HEARD),
    Behaviour("an empty HTTP 401", "http401", PAUSED),
    Behaviour("an empty HTTP 403", "http403", TURNED_AWAY),
    Behaviour("an empty HTTP 404", "http404", TURNED_AWAY),
    Behaviour("an empty HTTP 405", "http405", TURNED_AWAY),
    Behaviour("an empty HTTP 403 twice (a firewall), then fine", "http403+http403+ok",
              ends(Outcome.CANCELLED, 3, attempts=1)),
    Behaviour("an empty HTTP 403 until the job is too old", "http403",
              ends(Outcome.GAVE_UP, 7, attempts=0, partner="cooling"), longest_age=300),
    Behaviour("an empty HTTP 409 once, then fine", "http409+ok", *AFRESH),
    Behaviour("an empty HTTP 500 once, then fine", "http500+ok", *AFRESH),
    Behaviour("an empty HTTP 500 for ever", "http500", *FAILS_FOR_EVER),
    Behaviour("an empty HTTP 504 once, then fine", "http504+ok", *AFRESH),
    Behaviour("an empty HTTP 204 once, then fine", "http204+ok", *AFRESH),
    Behaviour("a redirect (307): not followed", "redirect307", TURNED_AWAY),
    Behaviour("a redirect (302): not followed", "redirect302", TURNED_AWAY),
    Behaviour("a redirect once (maintenance), then fine", "redirect302+ok",
              ends(Outcome.CANCELLED, 2, attempts=1)),
    Behaviour("HTTP 201, else as it should be", "under201", CLEAR),
    Behaviour("`00`, `CANCELLED` under HTTP 500, every time", "under500",
              ends(Outcome.UNKNOWN, 5, partner="cooling"), ends(Outcome.CANCELLED, 1, 1)),
    Behaviour("`00`, `CANCELLED` under HTTP 401, every time", "under401", *NEVER_TOLD),
    Behaviour("`00`, `CANCELLED` under HTTP 503 once", "under503+ok", *AGAIN),
    Behaviour("`00`, `CANCELLED` under HTTP 429 once", "under429+ok", *AGAIN),
    Behaviour("takes effect, HTTP 200 with an HTML page", "garbage+ok", *AGAIN),
    Behaviour("HTTP 502 with a gateway's page, then fine", "garbage502+ok", *AFRESH),
    Behaviour("the answer in chunks", "chunked", CLEAR),
    Behaviour("an answer without length that ends with the line", "untilclosed", CLEAR),
    Behaviour("`103 Early Hints` before the answer", "hints", CLEAR),
    Behaviour("takes effect, answers in something that is not HTTP", "nothttp+ok", *AGAIN),
    Behaviour("takes effect, `Content-Length` ten bytes short", "shortlength+ok", *AGAIN),
    Behaviour("takes effect, a compressed answer", "compressed+ok", *AGAIN),
    Behaviour("takes effect, a gzip bomb", "bomb1+ok", *AGAIN),
    Behaviour("takes effect, a megabyte of JSON", "huge1+ok", *AGAIN),
    Behaviour("takes effect, a body without end", "endless+ok", *AGAIN),
    Behaviour("takes effect, headers without end", "endlesshead+ok", *AGAIN),
)

BODY: Final = (
    Behaviour("takes effect, JSON cut in two", "notjson+ok", *AGAIN),
    Behaviour("takes effect, a JSON list around the answer", "list+ok", *AGAIN),
    Behaviour("takes effect, the JSON value `null`", "null+ok", *AGAIN),
    Behaviour("a byte order mark before the JSON", "bom", CLEAR),
    Behaviour("takes effect, Thai text that is not UTF-8", "tis620+ok", *AGAIN),
    Behaviour("takes effect, lists nested 100 000 deep", "deep+ok", *AGAIN),
    Behaviour("takes effect, a number of 10 000 digits", "longnumber+ok", *AGAIN),
    Behaviour("U+0000 in `errorDesc`", "nul", CLEAR),
    Behaviour("half a character in `errorDesc`", "surrogate", CLEAR),
    Behaviour("takes effect, `statusCode` twice, `10` and `00`", "twokeys+ok", *AGAIN),
    Behaviour("fields nobody documented", "extra", CLEAR),
    Behaviour("takes effect, `00` with an `errorCode`, every time", "contradiction", *NEVER_TOLD),
    Behaviour("takes effect, `statusCode` `77`, every time", "odd", *NEVER_TOLD),
    Behaviour("takes effect, `statusCode` the number 0", "numeric+ok", *AGAIN),
    Behaviour("takes effect, no `statusCode`", "nocode+ok", *AGAIN),
)

STATUS: Final = (
    Behaviour("the status an array of one", "statusarray", CLEAR),
    Behaviour("the status in small letters", "statuslower", CLEAR),
    Behaviour("blanks around the status", "statusspaced", CLEAR),
    Behaviour("takes effect, the status an empty array", "statusempty+ok", *AGAIN),
    Behaviour("takes effect, the status null", "statusnull+ok", *AGAIN),
    Behaviour("takes effect, no status", "statusmissing+ok", *AGAIN),
    Behaviour("takes effect, a status nobody knows, every time", "statusunknown", *NEVER_TOLD),
    Behaviour("takes effect, the status a number", "statusnumber+ok", *AGAIN),
    Behaviour("takes effect, `CANCELLED` and `PAID` at once, every time", "statusmixed",
              *NEVER_TOLD),
    Behaviour("takes effect, `00` without a token list, every time", "nolist", *NEVER_TOLD),
    Behaviour("takes effect, an empty token list", "emptylist+ok", *AGAIN),
    Behaviour("takes effect, the token list null", "nulllist+ok", *AGAIN),
    Behaviour("the token list one object", "barelist", CLEAR),
    Behaviour("our token in the middle of others", "crowd", CLEAR),
    Behaviour("takes effect, our token twice, `CANCELLED` and `PAID`", "twice+ok", *AGAIN),
    Behaviour("no effect, `00` and `REQUESTED` every time", "say.REQUESTED", *NEVER_HEARD),
    Behaviour("no effect, `00` and `VOIDED` once", "say.VOIDED+ok", *AFRESH),
    Behaviour("no effect, `00` and `NOT_FOUND` once", "say.NOT_FOUND+ok", *AFRESH),
    Behaviour("calls a payable token `CANCELLED`", "say.CANCELLED", CLEAR, lies=True),
    Behaviour("calls a payable token `PAID`", "say.PAID", ends(Outcome.PAID, 1), lies=True),
    Behaviour("calls a payable token `EXPIRED`", "say.EXPIRED", ends(Outcome.EXPIRED, 1),
              lies=True),
)

ECHOES: Final = (
    Behaviour("takes effect, echoes another `partnerTxnUid`, every time", "wronguid", *NEVER_TOLD),
    Behaviour("takes effect, echoes another `partnerId`", "wrongpartner+ok", *AGAIN),
    Behaviour("takes effect, lists another token only", "wrongtoken+ok", *AGAIN),
    Behaviour("echoes another `reference1`", "otherref", CLEAR),
    Behaviour("takes effect, echoes no id of ours", "noecho+ok", *AGAIN),
    Behaviour("sends our secret back in a field", "echosecret", CLEAR),
    Behaviour("no effect, our secret in `errorDesc` for ever", "echosecretdesc",
              ends(Outcome.UNKNOWN, 5), waits(State.IN_DOUBT, 1, 11)),
    Behaviour("no effect, HTTP 500 and a page with our secret, once", "echosecretpage+ok", *AFRESH),
)

# fmt: on
