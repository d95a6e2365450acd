"""Who may ask, and what a browser may do with the answer: around the whole application, so that no route can forget it."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from gerund.serving.metrics import Metrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

COOKIE = "gerund_session"
OPEN = ("/", "/healthz", "/readyz", "/v1/session")
"""Paths that need no token, with everything below /static/."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """An ASGI application around another: checks host, origin and token, adds the security headers, measures.

    `hosts` are the names this server answers to, None for any. A server on loopback names them, since any web page could
    have its own name point there (DNS rebinding).
    """

    def __init__(
        self, app: Application, metrics: Metrics, *, token: str | None = None, hosts: frozenset[str] | None = None
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.token = token
        self.hosts = hosts
        self.session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self.headers(scope["path"])]
            await send(message)

        try:
            refusal = self.refusal(scope)
            if refusal is not None:
                await respond(answer, *refusal)
            else:
                await self.app(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            self.metrics.observe(route, scope["method"], status, time.monotonic() - started)

    def headers(self, path: str) -> list[tuple[bytes, bytes]]:
        stored = "no-cache" if path == "/" or path.startswith("/static/") else "no-store"
        return [(name.encode(), value.encode()) for name, value in {**HEADERS, "cache-control": stored}.items()]

    def refusal(self, scope: Message) -> tuple[int, str] | None:
        """Status and reason for a request that may not pass."""
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = given.get("host", "")
        if self.hosts is not None and host_name(host) not in self.hosts:
            return 421, f"this server does not answer to {host[:100]!r}; use {' or '.join(sorted(self.hosts))}"
        origin = given.get("origin")
        if scope["method"] not in SAFE_METHODS and origin is not None and urlsplit(origin).netloc != host:
            return 403, "requests from other sites are not taken"
        path = scope["path"]
        if self.token is None or path in OPEN or path.startswith("/static/") or self.known(given):
            return None
        return 401, "a token is needed: send 'Authorization: Bearer TOKEN'"

    def known(self, given: dict[str, str]) -> bool:
        """Whether the header holds the token, or the cookie the session it was exchanged for."""
        scheme, _, token = given.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(token.strip()):
            return True
        try:
            cookie = SimpleCookie(given.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and same(cookie.value, self.session)

    def is_token(self, given: str) -> bool:
        return self.token is None or same(given, self.token)


def same(given: str, wanted: str) -> bool:
    """Compared in a time that tells nothing, not even the length."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, wanted))
    return hmac.compare_digest(*digests)


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


async def respond(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
