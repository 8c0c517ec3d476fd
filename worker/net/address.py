"""Whether the HTTP library can use a web address: it is tried, and nothing is sent."""

LARGEST_PORT = 65535


def check_address(url: str) -> None:
    """Raise ValueError if no request could be made to this address; the error never shows it."""
    import httpx  # noqa: PLC0415 - slow to load, and a producer needs only `check_host`

    try:
        request = httpx.Request("POST", url)
        host, port = request.url.raw_host.decode("ascii"), request.url.port
    except Exception as error:
        # Its own errors, and those of the library that reads international names.
        raise ValueError("cannot be used: no host, port or path that can be called") from error
    if not host or "%" in host or (port is not None and not 0 < port <= LARGEST_PORT):
        raise ValueError("cannot be used: its host or its port is none")
    if ":" not in host:
        check_host(host)


def check_host(host: str) -> None:
    """Raise ValueError if the name cannot be looked up: a part of it is empty, or too long."""
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError("cannot be used: a part of its host's name is empty or too long") from None
