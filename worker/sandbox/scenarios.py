"""The table of scenarios: every behaviour of the simulated bank, as data."""

from worker.sandbox import delivery as d
from worker.sandbox import shapes as s
from worker.sandbox.play import Moment, Scenario
from worker.sandbox.tokens import TokenStatus

_BEFORE, _AFTER = Moment.BEFORE, Moment.AFTER

# fmt: off
# A table: one entry to a behaviour, not one argument to a line.

_LIVES = (
    Scenario("ok", "a payable token, which is cancelled", s.truth),
    Scenario("paid", "paid long ago: `qr_paid`", s.truth, initial=TokenStatus.PAID),
    Scenario("paidlist", "paid long ago: `00`, and `PAID` in the token list", s.truth,
             initial=TokenStatus.PAID, final_reported_as="list"),
    Scenario("expired", "expired long ago: `qr_expired`", s.truth, initial=TokenStatus.EXPIRED),
    Scenario("expiredlist", "expired long ago: `00`, and `EXPIRED` in the token list", s.truth,
             initial=TokenStatus.EXPIRED, final_reported_as="list"),
    Scenario("expires", "payable, and expires so many seconds after its first POST", s.truth,
             counts="seconds to live", default=60),
    Scenario("cancelled", "cancelled long ago: `00` and `CANCELLED` again", s.truth,
             initial=TokenStatus.CANCELLED, final_reported_as="list"),
    Scenario("cancelledcode", "cancelled long ago: `qr_cancelled`", s.truth,
             initial=TokenStatus.CANCELLED, final_reported_as="code"),
    Scenario("recode", "a payable token, which is cancelled; after that `qr_cancelled`", s.truth,
             final_reported_as="code"),
    Scenario("unknown", "the bank does not know the token: `invalid_tokenId`", s.truth,
             initial=TokenStatus.NOT_FOUND),
    Scenario("say", "claims the named status, whatever the truth; no effect", s.say,
             text="status", effect=False),
)

_LATER = (
    Scenario("busy", "`general_error` so many times, no effect; then fine", s.code("general_error"),
             counts="times", default=1, effect=False),
    Scenario("unavailable", "HTTP 503 with an empty body so many times, no effect; then fine",
             s.raw(b"", http_status=503), counts="times", default=1, effect=False),
    Scenario("busyboth", "`general_error` under HTTP 503 so many times, no effect; then fine",
             s.code("general_error", http_status=503), counts="times", default=1, effect=False),
    Scenario("ratelimit", "HTTP 429 once, `Retry-After` in seconds; then fine", s.limited,
             counts="seconds", default=1, effect=False, times=1),
    Scenario("ratelimitdate", "HTTP 429 once, `Retry-After` as a date; then fine", s.limited_until,
             counts="seconds", default=1, effect=False, times=1),
    Scenario("ratelimitodd", "HTTP 429 so many times, `Retry-After` unreadable; then fine",
             s.limited_oddly, counts="times", default=1, effect=False),
)

_LINE = (
    Scenario("drop", "takes effect, then drops the connection (RST) so many times; then fine",
             s.truth, counts="times", default=1, transmission=d.RESET),
    Scenario("dropbefore", "drops the connection (RST) before any effect so many times; then fine",
             s.truth, counts="times", default=1, effect=False, transmission=d.RESET),
    Scenario("close", "takes effect, closes the connection unanswered so many times; then fine",
             s.truth, counts="times", default=1, transmission=d.CLOSED),
    Scenario("closehead", "takes effect, sends half a head, closes; so many times, then fine",
             s.truth, counts="times", default=1, transmission=d.HALF_A_HEAD),
    Scenario("closehalf", "takes effect, sends half the body, closes; so many times, then fine",
             s.truth, counts="times", default=1, transmission=d.HALF_A_BODY),
    Scenario("drophalf", "takes effect, sends half the body, RST; so many times, then fine",
             s.truth, counts="times", default=1, transmission=d.HALF_THEN_RESET),
    Scenario("stale", "answers well, then closes the connection unannounced", s.truth,
             transmission=d.THEN_CLOSED),
    Scenario("stray", "answers well, and sends a second answer after it", s.truth,
             transmission=d.WITH_STRAY),
)

_TIME = (
    Scenario("slow", "takes effect, answers so many seconds later, once; then at once", s.truth,
             counts="seconds", default=30, waits=_AFTER, times=1),
    Scenario("slowbefore", "takes effect and answers so many seconds later, once; then at once",
             s.truth, counts="seconds", default=30, waits=_BEFORE, times=1),
    Scenario("crawl", "takes effect, answers so many seconds later, every time", s.truth,
             counts="seconds", default=30, waits=_AFTER),
    Scenario("hold", "takes effect, answers when released", s.truth, waits=_AFTER, times=1),
    Scenario("holdbefore", "takes effect and answers when released", s.truth, waits=_BEFORE,
             times=1),
    Scenario("driphead", "drips the whole answer byte by byte, so many ms apart", s.truth,
             counts="milliseconds", default=100, transmission=d.DRIPPING_HEAD),
    Scenario("dripbody", "sends the head, drips the body byte by byte, so many ms apart", s.truth,
             counts="milliseconds", default=100, transmission=d.DRIPPING_BODY),
)

_HTTP = (
    Scenario("http", "that HTTP status with an empty body, no effect", s.empty_as_asked,
             counts="HTTP status", default=500, effect=False),
    Scenario("under", "takes effect; the true answer under that HTTP status", s.under_as_asked,
             counts="HTTP status", default=500),
    Scenario("redirect", "a redirect to `/elsewhere`, no effect; the journal shows who follows",
             s.redirected, counts="HTTP status", default=307, effect=False),
    Scenario("garbage", "takes effect; HTTP 200 with an HTML page", s.page(200, "Welcome")),
    Scenario("garbage502", "no effect; HTTP 502 with a gateway's HTML page",
             s.page(502, "Bad Gateway"), effect=False),
    Scenario("chunked", "harmless: the answer in chunks", s.truth, transmission=d.CHUNKED),
    Scenario("untilclosed", "harmless: no length, the body ends with the connection", s.truth,
             transmission=d.UNTIL_CLOSED),
    Scenario("hints", "harmless: `103 Early Hints` before the answer", s.truth,
             transmission=d.AFTER_HINTS),
    Scenario("nothttp", "takes effect; answers in something that is not HTTP", s.truth,
             transmission=d.NOT_HTTP),
    Scenario("shortlength", "takes effect; `Content-Length` ten bytes short", s.truth,
             transmission=d.TOO_SHORT),
    Scenario("compressed", "takes effect; gzip, which the request excludes", s.compressed),
    Scenario("bomb", "takes effect; a gzip bomb of so many megabytes", s.bomb,
             counts="megabytes", default=100),
    Scenario("huge", "takes effect; so many megabytes of JSON", s.truth, counts="megabytes",
             default=64, transmission=d.HUGE),
    Scenario("endless", "takes effect; chunks without end", s.truth, transmission=d.ENDLESS),
    Scenario("endlesshead", "takes effect; headers without end", s.truth,
             transmission=d.ENDLESS_HEAD),
)

_BODY = (
    Scenario("notjson", "takes effect; JSON cut in two", s.rewritten(lambda body: body[:-20])),
    Scenario("list", "takes effect; a JSON list around the answer",
             s.rewritten(lambda body: b"[" + body + b"]")),
    Scenario("null", "takes effect; the JSON value `null`", s.raw(b"null")),
    Scenario("bom", "takes effect; a byte order mark before the JSON",
             s.rewritten(lambda body: b"\xef\xbb\xbf" + body)),
    Scenario("tis620", "takes effect; a Thai `errorDesc` in TIS-620, not UTF-8",
             s.rewritten(lambda body: body.replace(
                 b'"errorDesc":null', b'"errorDesc":"\xca\xd3\xe0\xc3\xe7\xa8"'))),
    Scenario("deep", "takes effect; lists nested 100 000 deep",
             s.raw(b'{"statusCode":"00","tokenList":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
    Scenario("longnumber", "takes effect; an extra field with a number of 10 000 digits",
             s.rewritten(lambda body: body[:-1] + b',"count":' + b"9" * 10_000 + b"}")),
    Scenario("nul", "takes effect; U+0000 in `errorDesc`", s.field("errorDesc", "cut\x00here")),
    Scenario("surrogate", "takes effect; half a character in `errorDesc`",
             s.rewritten(lambda body: body.replace(
                 b'"errorDesc":null', rb'"errorDesc":"\ud83d"'))),
    Scenario("twokeys", "takes effect; `statusCode` twice, `10` and then `00`",
             s.rewritten(lambda body: b'{"statusCode":"10",' + body[1:])),
    Scenario("extra", "harmless: undocumented fields",
             s.field("futureField", {"any": ["thing", 1, None]})),
    Scenario("contradiction", "takes effect; `00` with an `errorCode`",
             s.field("errorCode", "general_error")),
    Scenario("odd", "takes effect; a `statusCode` that is neither `00` nor `10`",
             s.field("statusCode", "77")),
    Scenario("numeric", "takes effect; `statusCode` as the number 0", s.field("statusCode", 0)),
    Scenario("nocode", "takes effect; no `statusCode`", s.without("statusCode")),
)

_STATUS = (
    Scenario("statusarray", "harmless: the status as an array of one", s.status(lambda st: [st])),
    Scenario("statusempty", "takes effect; the status an empty array", s.status(lambda _: [])),
    Scenario("statusnull", "takes effect; the status null", s.status(lambda _: None)),
    Scenario("statusmissing", "takes effect; no status", s.without_status),
    Scenario("statusunknown", "takes effect; an unknown status",
             s.status(lambda _: "WITHDRAWN")),
    Scenario("statuslower", "takes effect; the status in small letters",
             s.status(lambda st: st.lower())),
    Scenario("statusspaced", "takes effect; blanks around the status",
             s.status(lambda st: f" {st} ")),
    Scenario("statusnumber", "takes effect; the status a number", s.status(lambda _: 7)),
    Scenario("statusmixed", "takes effect; an array of two statuses that exclude each other",
             s.status(lambda st: [st, "PAID"])),
    Scenario("nolist", "takes effect; `00` without a token list", s.without("tokenList")),
    Scenario("emptylist", "takes effect; `00` and an empty token list",
             s.token_list(lambda _: [])),
    Scenario("nulllist", "takes effect; `00` and the token list null",
             s.token_list(lambda _: None)),
    Scenario("barelist", "takes effect; the token list one object, not an array",
             s.token_list(lambda tokens: tokens[0] if tokens else None)),
    Scenario("crowd", "harmless: our token in the middle of others", s.token_list(
        lambda tokens: [{"tokenId": "A", "status": "PAID"}, *tokens, {"tokenId": "B"}])),
    Scenario("twice", "takes effect; our token listed twice, with statuses that exclude each other",
             s.token_list(lambda tokens: tokens + [t | {"status": "PAID"} for t in tokens])),
)

_ECHO = (
    Scenario("wronguid", "takes effect; echoes another `partnerTxnUid`",
             s.field("partnerTxnUid", "SOMEBODYELSE1")),
    Scenario("wrongpartner", "takes effect; echoes another `partnerId`",
             s.field("partnerId", "PTR0000000")),
    Scenario("wrongtoken", "takes effect; lists another token only",
             s.listed_field("tokenId", "SOMEBODYELSES")),
    Scenario("otherref", "harmless: echoes another `reference1`",
             s.listed_field("reference1", "KS1234567")),
    Scenario("noecho", "takes effect; echoes neither `partnerTxnUid` nor `partnerId`",
             s.without("partnerTxnUid", "partnerId")),
    Scenario("echosecret", "takes effect; sends `partnerSecret` back in a field", s.echoes_secret,
             inquiry_too=True),
    Scenario("echosecretdesc", "no effect; an error with the secret in `errorDesc`",
             s.describes_secret, effect=False, inquiry_too=True),
    Scenario("echosecretpage", "no effect; HTTP 500, an HTML page with the secret",
             s.prints_secret, effect=False, inquiry_too=True),
)

_CODES = (
    Scenario("code", "refuses with the named errorCode, under that HTTP status; no effect",
             s.code_as_asked, counts="HTTP status", default=200, text="errorCode", effect=False),
    Scenario("short", "refuses with an unknown errorCode and the named short code; no effect",
             s.short_code, text="short code", effect=False),
    Scenario("wrongsecret", "`authentication_error`, whatever is sent", s.truth,
             rejects_credentials=True, effect=False, inquiry_too=True),
    Scenario("dupstrict", "refuses a uid that came before with `duplicate_request`", s.truth,
             repeats="strict"),
    Scenario("dupreplay", "answers a uid that came before with its first result", s.truth,
             repeats="replay"),
)

_CUSTOMER = (
    Scenario("payrace", "the customer pays between arrival and effect: `qr_paid`", s.truth,
             pays=_BEFORE),
    Scenario("payracelist", "the same, reported as `00` with `PAID` in the list", s.truth,
             pays=_BEFORE, final_reported_as="list"),
    Scenario("payracedrop", "the customer pays before the effect, and the answer is lost (RST)",
             s.truth, pays=_BEFORE, times=1, transmission=d.RESET),
    Scenario("droppay", "drops the connection before any effect; then the customer pays", s.truth,
             effect=False, pays=_AFTER, times=1, transmission=d.RESET),
    Scenario("busypay", "`general_error` once; then the customer pays", s.code("general_error"),
             effect=False, pays=_AFTER, times=1),
    Scenario("pay502", "HTTP 502 once; then the customer pays", s.page(502, "Bad Gateway"),
             effect=False, pays=_AFTER, times=1),
    Scenario("latepay", "takes effect, drops the connection; then the customer cannot pay",
             s.truth, pays=_AFTER, times=1, transmission=d.RESET),
    Scenario("cancelpay", "claims `CANCELLED`, then the customer pays: a bank that contradicts "
             "itself", s.status(lambda _: "CANCELLED"), effect=False, pays=_AFTER, times=1),
)

# fmt: on

GROUPS = {
    "The life of the token": _LIVES,
    "Later, please": _LATER,
    "The line": _LINE,
    "Time": _TIME,
    "HTTP": _HTTP,
    "The body": _BODY,
    "Status and token list": _STATUS,
    "Echoes and secrets": _ECHO,
    "Refusals and repeated uids": _CODES,
    "The customer pays meanwhile": _CUSTOMER,
}

SCENARIOS = {each.name: each for group in GROUPS.values() for each in group}
