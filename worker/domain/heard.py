"""The words in `heard` of conversations that ended before anything was sent to the bank."""

from typing import Final

NOTHING_SENT: Final = frozenset(
    {"unconfigured", "no_time_left", "closed", "pool_timeout", "slot_missed"}
    | {"dns_failed", "connect_failed", "connect_timeout", "proxy_failed"}
    | {"tls_failed", "tls_untrusted"}
    | {"bad_url", "bad_request", "bad_tls_files", "wrong_partner", "http_library"}
)
"""
By the class of the fault; a test compares it with `bank.faults.FAULTS`.

`tls_refused` is not among them: in TLS 1.3 the request may have been sent before.
"""
