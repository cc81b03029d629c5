"""Access control of the server: Host header, token, and Origin of POST requests.

A page of another site can make a browser send requests to this machine. It cannot read the responses,
unless the name of the site resolves to this machine (DNS rebinding). Therefore the Host header of every
request is checked. The Origin header is checked for every request that changes something.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from euclidfm.core.errors import InputError

__all__ = ["Guard", "check_address", "is_loopback"]

COOKIE = "euclidfm-explore"
SHORTEST_TOKEN = 16
LARGEST_BODY = 64 * 1024 * 1024
BODY_SECONDS = 60.0
"""Seconds in which the body of a request must arrive."""

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")
"""A Host header: an IPv6 address in brackets, or a name or IPv4 address; then a port."""

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, token: str | None) -> None:
    """Check that an address that other machines can reach has a token, and that the token is strong.

    Raises
    ------
    InputError
        If the token is missing, short, or has characters that a URL can't hold.
    """
    if token is None and not is_loopback(host):
        msg = f"--host {host} lets other machines in; give --token SECRET too, or leave --host out"
        raise InputError(msg)
    if token is not None and len(token) < SHORTEST_TOKEN:
        msg = f"--token must have at least {SHORTEST_TOKEN} characters; make one with `openssl rand -hex 16`"
        raise InputError(msg)
    if token is not None and not re.fullmatch(r"[A-Za-z0-9._~-]+", token):
        msg = "--token may hold letters, digits and . _ ~ - only; make one with `openssl rand -hex 16`"
        raise InputError(msg)


class Guard:
    """ASGI middleware that rejects requests without access and adds security headers.

    Parameters
    ----------
    app : ASGI application
    host : str
        Address that the server binds to.
    token : str, optional
        Secret that a client sends once as ``?token=``, which sets a cookie, or as ``Authorization: Bearer``.
    """

    def __init__(self, app: Any, host: str, token: str | None) -> None:
        self.app, self.host, self.token = app, host, token
        self.names = {"localhost", host}
        if not is_loopback(host):
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Pass a request on to the application, or reject it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _respond(send, *refusal)
            return
        if self.token is not None and self._in_query(scope):
            place = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
            await _respond(send, 303, "", [("location", "/"), ("set-cookie", place)])
            return

        if scope["method"] == "POST":
            body = await _body(receive)
            if isinstance(body, tuple):
                await _respond(send, *body)
                return
            receive = _replayed(body, receive)

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self.app(scope, receive, with_headers)

    def _refusal(self, scope: Any, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, "Unknown host name; use the address that `euclidfm explore` printed."
        if self.token is not None and not (self._in_query(scope) or self._carried(headers)):
            return 401, "Open the address with ?token=... that `euclidfm explore` printed."
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "Only GET and POST are understood."
        if scope["method"] == "POST":
            origin = urlsplit(headers.get("origin", ""))
            if origin.scheme not in ("http", "https") or origin.netloc != host:
                return 403, "Requests that change something must come from the page itself."
            size = headers.get("content-length", "")
            if not size.isdigit() or int(size) > LARGEST_BODY:
                return 413, "The request is too large, or does not say how large it is."
        return None

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = (found[1] or found[2]).lower()
        if name in self.names or (is_loopback(name)):
            return True
        if is_loopback(self.host):
            return False
        try:  # an IP address cannot be rebound
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _in_query(self, scope: Any) -> bool:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        return scope["path"] == "/" and self._same(given)

    def _carried(self, headers: dict[str, str]) -> bool:
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            morsel = None
        return self._same(bearer) or (morsel is not None and self._same(morsel.value))

    def _same(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())


async def _body(receive: Receive) -> bytes | tuple[int, str]:
    """Read the body of a request; or the status and the text of a refusal."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return 400, "The request broke off."
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > LARGEST_BODY:
                    return 413, "The request is too large."
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        return 408, "The request did not arrive in time."


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read before."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return left.pop() if left else await receive()

    return again


async def _respond(send: Send, status: int, text: str, extra: list[tuple[str, str]] | None = None) -> None:
    headers = [("content-type", "text/plain; charset=utf-8"), *HEADERS.items(), *(extra or [])]
    if status >= 400:
        headers.append(("connection", "close"))  # the rest of the request is not read
    encoded = [(k.encode(), v.encode("latin-1")) for k, v in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})
