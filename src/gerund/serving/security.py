"""Who may ask, and what a browser may do with the answer: around the whole application, so that no route can forget it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import re
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from gerund.serving.metrics import Metrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Refusal = tuple[int, str]
"""Status and reason."""

COOKIE = "gerund_session"
OPEN = ("/", "/healthz", "/readyz", "/v1/session")
"""Paths that need no token, with everything below /static/."""
UPLOADS = ("/v1/predict", "/v1/jobs")
"""Paths whose bodies are videos, read as they come; every other body is small and read before anything looks at it."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
METHODS = (*SAFE_METHODS, "POST", "PUT", "PATCH", "DELETE")
LONGEST_ADDRESS = 4096
"""Characters of a path with its query."""
SMALL_BODY, SMALL_BODY_SECONDS = 4096, 10.0
"""Bytes of a body that is no video, and how long it may take to come."""
PAUSE = 1.0
"""Seconds before the answer to a wrong token; the right one never waits."""
LEAST_BITS = 32.0
KNOWN = "gerund.known"
"""Key of a request's scope: whether its sender may ask."""
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
SECURITY_HEADERS = {
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
        self,
        app: Application,
        metrics: Metrics,
        *,
        token: str | None = None,
        hosts: frozenset[str] | None = None,
        bodies: Mapping[str, int] | None = None,
    ) -> None:
        """`bodies` are paths whose bodies may have more than SMALL_BODY bytes, and how many."""
        self.app = app
        self.bodies = bodies or {}
        self.metrics = metrics
        self.token = token
        self.hosts = hosts
        self.session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        if scope["type"] != "http":
            return
        started, status = time.monotonic(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self.headers(scope["path"])]
            await send(message)

        try:
            await self.let_in(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.metrics.observe(route, method, status, time.monotonic() - started)

    async def let_in(self, scope: Message, receive: Receive, send: Send) -> None:
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = unusual(scope) or self.foreign(scope, given) or await self.unknown(scope, given)
        if refusal is None and scope["path"] not in UPLOADS:
            receive, refusal = await with_small_body(receive, self.bodies.get(scope["path"], SMALL_BODY))
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await respond(send, *refusal)

    def headers(self, path: str) -> list[tuple[bytes, bytes]]:
        stored = "no-cache" if path == "/" or path.startswith("/static/") else "no-store"
        return [(name.encode(), value.encode()) for name, value in {**SECURITY_HEADERS, "cache-control": stored}.items()]

    def foreign(self, scope: Message, given: dict[str, str]) -> Refusal | None:
        """What is said to a request that was meant for another name, or that another site made a browser send."""
        host = given.get("host", "")
        if self.hosts is not None and host_name(host) not in self.hosts:
            return 421, f"this server does not answer to {host[:100]!r}; use {' or '.join(sorted(self.hosts))}"
        origin = given.get("origin")
        from_elsewhere = given.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if scope["method"] not in SAFE_METHODS and (from_elsewhere or (origin is not None and urlsplit(origin).netloc != host)):
            return 403, "requests from other sites are not taken"
        return None

    async def unknown(self, scope: Message, given: dict[str, str]) -> Refusal | None:
        """What is said to somebody without the token; who gives a wrong one waits for it."""
        scope[KNOWN] = self.knows(given)
        path = scope["path"]
        if scope[KNOWN] or path in OPEN or path.startswith("/static/"):
            return None
        if "authorization" in given:
            await asyncio.sleep(PAUSE)
        return 401, "a token is needed: send 'Authorization: Bearer TOKEN'"

    def knows(self, given: dict[str, str]) -> bool:
        """Whether no token is asked for, the header holds it, or the cookie the session it was exchanged for."""
        scheme, _, token = given.get("authorization", "").partition(" ")
        if self.token is None or (scheme.lower() == "bearer" and self.is_token(token.strip())):
            return True
        try:
            cookie = SimpleCookie(given.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and same(cookie.value, self.session)

    def is_token(self, given: str) -> bool:
        return self.token is None or same(given, self.token)


def unusual(scope: Message) -> Refusal | None:
    """What is said to a request that no client sends by itself."""
    if scope["method"] not in METHODS:
        return 405, f"this method is not known here; use one of {', '.join(METHODS)}"
    if len(scope["path"]) + len(scope["query_string"]) > LONGEST_ADDRESS:
        return 414, f"the address is longer than {LONGEST_ADDRESS:,} characters"
    return None


async def with_small_body(receive: Receive, most: int) -> tuple[Receive, Refusal | None]:
    """Read a body to its end, and give what gives it again; or what is said to one that is too large or too slow."""
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(SMALL_BODY_SECONDS):
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > most:
                    return receive, (413, f"more than {most:,} bytes; only videos may be larger")
    except TimeoutError:
        return receive, (408, f"the body did not come within {SMALL_BODY_SECONDS:g} s")
    parts = [{**message, "body": bytes(body)}]

    async def again() -> Message:
        return parts.pop() if parts else await receive()

    return again, None


def over_tls(given: Mapping[str, str]) -> bool:
    """Whether the browser speaks to this server, or to a proxy before it, through TLS.

    Anybody may say so: it only makes a cookie stricter, and only their own.
    """
    return given.get("x-forwarded-proto", "").partition(",")[0].strip() == "https" or given.get("origin", "").startswith(
        "https://"
    )


def guessable(token: str) -> bool:
    """Whether a token is a repetition, a row of neighbours, or made of too few letters. A random one of 16 letters is not."""
    once = token[: (token * 2).find(token, 1)]
    steps = [after - before for before, after in pairwise(once.encode())]
    return min(bits(once), bits(steps)) < LEAST_BITS


def bits(items: Sequence[Any]) -> float:
    """Shannon's information of a sequence, from how often each item is in it."""
    return sum(count * math.log2(len(items) / count) for count in Counter(items).values())


def same(given: str, wanted: str) -> bool:
    """Compared in a time that tells nothing, not even the length."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, wanted))
    return hmac.compare_digest(*digests)


def host_name(host: str) -> str:
    """The name in a Host header, without its port; empty for what is no name and no address."""
    match = re.fullmatch(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", host.lower())
    return match[1].strip("[]") if match else ""


async def respond(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
