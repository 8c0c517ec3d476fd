"""What is wrong with a certificate that was not believed, and what to do about it."""

import ssl

_BUNDLE = "put the certificate of its authority, and of those above it, into the CA bundle"
_ITSELF = "it signs itself: if it is the right one, put it into the CA bundle"
_LATE = "ask its owner for a new one"
_STRICT = (
    "it is not as RFC 5280 asks: ask its owner for a new one, or name the CA bundle: "
    "a certificate of an authority that you name is taken as it is"
)
_WEAK = "it is too weak for this machine's OpenSSL: ask its owner for a new one"
_NO_AUTHORITY = (
    "what signs it may not sign: its basicConstraints lack CA:TRUE; name the authority's "
    "own certificate in the CA bundle"
)
_ADVICE = {
    9: "it is not valid yet: check this machine's clock",
    10: _LATE,
    18: _ITSELF,
    19: _BUNDLE,
    20: _BUNDLE,
    21: _BUNDLE,
    24: _NO_AUTHORITY,
    26: "it is not made for a server: ask its owner for one that is (serverAuth)",
    62: "it is for another name: check the address",
    64: "it is for another address: check the address",
    66: _WEAK,
    67: _WEAK,
    68: _WEAK,
    79: _NO_AUTHORITY,
    **dict.fromkeys(range(80, 95), _STRICT),
}
"""By OpenSSL's number of the fault (X509_V_ERR_…, stable since OpenSSL 3.0)."""


def advice(error: ssl.SSLCertVerificationError) -> str:
    """Return what OpenSSL found wrong with a certificate, and what to do."""
    fault = error.verify_message or str(error)
    remedy = _ADVICE.get(error.verify_code)
    return f"{fault.rstrip('.')}: {remedy}" if remedy else fault
