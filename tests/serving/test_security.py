"""Who may ask, what is taken, and what a stranger's file can do; each promise of docs/security.md has its test here."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from http.cookies import SimpleCookie
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gerund import video
from gerund.cli.app import app as command_line
from gerund.core.errors import UsageError, VideoError
from gerund.core.types import Resize, Timeline
from gerund.video import pool as decoding
from gerund.video import stream

pytest.importorskip("fastapi")

from gerund.core.units import bytes_bound, seconds_bound
from gerund.serving import connections, drawing, requests, scratch, security
from gerund.serving import server as server_module
from gerund.serving import service as service_module
from gerund.serving.decoder import ServingPool
from gerund.serving.limits import Limits
from gerund.serving.security import COOKIE, Guard, is_loopback
from gerund.serving.service import RefusedError
from support.servers import body_then_silence, until, upload_scope

httpx = pytest.importorskip("httpx")

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


# who may ask


def test_a_token_opens_what_is_closed_without_it(started, clip):
    server = started(token=TOKEN, loopback=False)
    for path in ("/v1/model", "/metrics", "/openapi.json", "/v1/jobs/x", "/v1/jobs/x/events"):
        assert server.client.get(path).status_code == 401
        assert server.client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert server.client.get(path, headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
        assert server.client.get(f"{path}?token={TOKEN}").status_code == 401
        assert server.client.get(path, headers=BEARER).status_code in (200, 404)
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 401
    assert server.client.post("/v1/predict", content=clip.read_bytes(), headers=BEARER).status_code == 200
    for path in ("/", "/healthz", "/readyz"):
        assert server.client.get(path).status_code == 200


def test_the_token_buys_a_cookie_that_scripts_and_other_sites_cannot_use(started):
    server = started(token=TOKEN, loopback=False)
    assert server.client.post("/v1/session", json={"token": "wrong"}).status_code == 401
    answer = server.client.post("/v1/session", json={"token": TOKEN})
    cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
    assert (answer.status_code, cookie["httponly"], cookie["samesite"].lower()) == (204, True, "strict")
    assert TOKEN not in answer.headers["set-cookie"]
    assert server.client.get("/v1/model").status_code == 200
    server.client.cookies.set(COOKIE, "guessed")
    assert server.client.get("/v1/model", headers={"Cookie": f"{COOKIE}=guessed"}).status_code in (200, 401)


def test_the_cookie_is_secure_wherever_the_browser_speaks_tls(started):
    server = started(token=TOKEN, loopback=False)
    for headers, secure in (
        ({}, False),
        ({"Origin": "http://actions.example.org", "Host": "actions.example.org"}, False),
        ({"X-Forwarded-Proto": "http"}, False),
        ({"X-Forwarded-Proto": "https"}, True),
        ({"X-Forwarded-Proto": "https, http"}, True),
        ({"Origin": "https://actions.example.org", "Host": "actions.example.org"}, True),
    ):
        answer = server.client.post("/v1/session", json={"token": TOKEN}, headers=headers)
        cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
        assert (answer.status_code, bool(cookie["secure"]), cookie["httponly"]) == (204, secure, True), headers


def test_the_documented_proxies_say_which_host_was_asked_for_and_that_it_was_tls():
    text = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    passed_on = dict(re.findall(r"proxy_set_header (\S+) (.+);", block))
    assert passed_on["Host"] == "$http_host"
    assert passed_on["X-Forwarded-Proto"] == "$scheme"


def test_a_wrong_token_waits_and_the_right_one_does_not(started, monkeypatch):
    server, waited = started(token=TOKEN, loopback=False), []
    sleep = asyncio.sleep

    async def counted(seconds):
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr("gerund.serving.security.PAUSE", 1.0)
    monkeypatch.setattr("gerund.serving.security.asyncio.sleep", counted)

    def pauses(ask) -> int:
        before = len(waited)
        ask()
        return waited[before:].count(1.0)

    client = server.client
    assert pauses(lambda: client.post("/v1/session", json={"token": "wrong"})) == 1
    assert pauses(lambda: client.get("/v1/model", headers={"Authorization": "Bearer wrong"})) == 1
    assert pauses(lambda: client.get("/v1/model")) == 0
    assert pauses(lambda: client.get("/v1/model", headers=BEARER)) == 0
    assert pauses(lambda: client.post("/v1/session", json={"token": TOKEN})) == 0


def test_the_token_is_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    guard = Guard(None, None, token=TOKEN)
    assert guard.is_token(TOKEN)
    assert not guard.is_token("short")
    assert not guard.is_token("é\ud800")
    assert {len(side) for pair in compared for side in pair} == {32}


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("127.8.9.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.2", False),
        ("example.org", False),
    ],
)
def test_only_this_machines_own_addresses_need_no_token(host, alone):
    assert is_loopback(host) == alone
    if alone:
        assert server_module.checked_token(None, host, needed=False) is None
    else:
        with pytest.raises(UsageError, match=r"can be reached by others: set a token of 16 characters or more in \$GERUND_TOKEN"):
            server_module.checked_token(None, host, needed=True)


@pytest.mark.parametrize(
    "token",
    ["a" * 16, "ab" * 20, "1234567812345678", "0123456789abcdef", "abcdefghijklmnop", "passwordpassword", "a" * 40 + "b"],
)
def test_a_token_that_is_a_repetition_or_a_row_is_refused(token):
    with pytest.raises(UsageError, match=r"the token is easily guessed; make one with .*secrets\.token_urlsafe\(32\)"):
        server_module.checked_token(token, "0.0.0.0", needed=True)


def test_random_tokens_are_taken():
    rng = np.random.default_rng(0)
    for letters in ("0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):
        for _ in range(500):
            token = "".join(rng.choice(list(letters), 22))
            assert server_module.checked_token(token, "0.0.0.0", needed=True) == token


@pytest.mark.parametrize("token", ["short", "with spaces in it, long", "naïve-token-of-20-letters"])
def test_a_token_that_could_be_guessed_or_lost_on_the_way_is_refused(token):
    with pytest.raises(UsageError, match="the token needs 16 or more"):
        server_module.checked_token(token, "0.0.0.0", needed=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--host", "0.0.0.0"), "can be reached by others"),
        (("--max-upload", "lots"), "--max-upload lots: write it like 512MB"),
        (("--max-duration", "0h"), "--max-duration 0h: write it like 2h"),
        (("--workers", "0"), "at least one worker"),
        (("--host", "203.0.113.7", "--token", TOKEN), "cannot listen there"),
        (("--port", "99999"), "--port 99999: a number from 0 to 65535"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(words, message, model, capsys, monkeypatch):
    monkeypatch.delenv("GERUND_TOKEN", raising=False)
    assert command_line.meta(["serve", str(model), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_port_in_use_is_named(model, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert command_line.meta(["serve", str(model), "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another port" in capsys.readouterr().err


def test_an_upload_that_trickles_is_given_up(started, monkeypatch):
    monkeypatch.setattr("gerund.serving.requests.LONGEST_UPLOAD", 0.2)
    monkeypatch.setattr("gerund.serving.requests.DISCARD_SECONDS", 0.1)
    server = started()

    async def trickle():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    answers = []

    async def answer(message):
        answers.append(message)

    server.client.portal.call(server.app, upload_scope(), trickle, answer)
    assert answers[0]["status"] == 408
    assert (server.leftovers, server.service.taken) == ([], 0)


def test_sizes_and_durations_are_read():
    assert [bytes_bound(text, "") for text in ("512MB", "2GiB", "1000", "1.5 kb")] == [512 * 10**6, 2 * 2**30, 1000, 1500]
    assert [seconds_bound(text, "") for text in ("2h", "15min", "90s", "0.5")] == [7200, 900, 90, 0.5]


def test_a_name_that_was_pointed_here_gets_no_answer(server):
    for host in (
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "",
        "[::1",
        "localhost@evil.example:x",
        "evil@127.0.0.1",
        "evil:x@localhost",
        "127.0.0.1/a",
        "127.0.0.1?",
        "127.0.0.1#",
        "127.0.0.1 ",
        "127.0.0.1:80:80",
        "127.0.0.1:http",
        "localhost\\@evil.example",
        "127.0.0.1,evil.example",
    ):
        answer = server.client.get("/v1/model", headers={"Host": host})
        assert answer.status_code == 421, host
        assert "labels" not in answer.text


def test_this_machines_names_get_answers(server):
    for host in ("localhost", "localhost:8000", "127.0.0.1:9"):
        assert server.client.get("/v1/model", headers={"Host": host}).status_code == 200, host


def test_another_site_cannot_make_a_browser_post_or_delete(server, clip):
    asked = [("POST", "/v1/predict"), ("POST", "/v1/jobs"), ("POST", "/v1/session"), ("DELETE", "/v1/jobs/x")]
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost"):
        for method, path in asked:
            answer = server.client.request(method, path, content=clip.read_bytes(), headers={"Origin": origin})
            assert (answer.status_code, answer.json()["error"]) == (403, "requests from other sites are not taken"), origin
    assert server.service.taken == 0
    assert server.client.post("/v1/predict", content=clip.read_bytes(), headers={"Origin": "http://127.0.0.1"}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_that_a_browser_says_is_of_another_site_is_refused_without_an_origin_too(server, clip, site):
    for method, path in (("POST", "/v1/predict"), ("POST", "/v1/jobs"), ("POST", "/v1/session"), ("DELETE", "/v1/jobs/x")):
        answer = server.client.request(method, path, content=clip.read_bytes(), headers={"Sec-Fetch-Site": site})
        assert (answer.status_code, answer.json()["error"]) == (403, "requests from other sites are not taken")
    for own in ("same-origin", "none"):
        assert server.client.post("/v1/predict", content=clip.read_bytes(), headers={"Sec-Fetch-Site": own}).status_code == 200


def test_every_answer_carries_the_headers_and_none_lets_other_sites_read(server, monkeypatch):
    def broken(*_):
        raise RuntimeError("a mistake of ours")

    with monkeypatch.context() as patch:
        patch.setattr("gerund.serving.jobs.job_values", broken)
        patch.setitem(server.service.jobs, "x", object())
        paths = ("/", "/v1/model", "/nothing", "/v1/jobs/x")
        answers = [server.client.get(path, headers={"Origin": "https://evil.example"}) for path in paths]
    answers.append(server.client.get("/healthz", headers={"Host": "evil.example"}))
    assert [answer.status_code for answer in answers] == [200, 200, 404, 500, 421]
    for answer in answers:
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "server" not in answer.headers
    assert "mistake" not in answers[3].text
    assert (
        server.client.options(
            "/v1/predict", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        ).status_code
        == 405
    )


# what is taken


@pytest.mark.parametrize("path", ["/v1/session", "/", "/healthz", "/v1/model", "/v1/jobs/x", "/nothing", "/static/page.js"])
def test_a_body_that_is_no_video_is_small(started, path):
    server, read = started(token=TOKEN, loopback=False), 0

    async def endless():
        nonlocal read
        read += 1000
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    answers = []

    async def answer(message):
        answers.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), (b"authorization", f"Bearer {TOKEN}".encode())]
    for method in ("POST", "GET", "DELETE"):
        answers.clear()
        read = 0
        server.client.portal.call(
            server.app, upload_scope() | {"path": path, "method": method, "headers": headers}, endless, answer
        )
        assert (answers[0]["status"], read) == (413, 5000)
    assert server.client.post("/v1/session", content=b"x" * 5000).status_code == 413
    assert server.client.post("/v1/session", json={"token": TOKEN}).status_code == 204


def test_a_body_that_is_no_video_comes_soon(started, monkeypatch):
    monkeypatch.setattr("gerund.serving.security.SMALL_BODY_SECONDS", 0.1)
    server = started(token=TOKEN, loopback=False)

    async def trickle():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    answers = []

    async def answer(message):
        answers.append(message)

    server.client.portal.call(server.app, upload_scope() | {"path": "/v1/session"}, trickle, answer)
    assert answers[0]["status"] == 408


def test_invented_methods_and_addresses_are_refused_and_counted_as_one(server):
    for number in range(20):
        for method in (f"AX{number}", f"{'A' * 60_000}{number}", "CONNECT"):
            assert server.client.request(method, "/v1/predict").status_code == 405
        assert server.client.get(f"/{number}").status_code == 404
        assert server.client.get(f"/{'x' * 5000}{number}").status_code == 414
        assert server.client.get(f"/v1/model?{'x' * 5000}{number}").status_code == 414
    counts = [line for line in server.client.get("/metrics").text.splitlines() if line.startswith("gerund_requests_total")]
    assert sorted(counts) == [
        'gerund_requests_total{route="other",method="GET",status="404"} 20',
        'gerund_requests_total{route="other",method="GET",status="414"} 40',
        'gerund_requests_total{route="other",method="other",status="405"} 60',
    ]


def test_uploads_that_trickle_keep_nobody_out(started, clip, monkeypatch):
    """More of them than there are places, and in the end than may be on their way: the slowest go, an honest one does not."""
    monkeypatch.setattr("gerund.serving.requests.DISCARD_SECONDS", 0.01)
    server = started(queue=0)
    ended, asking, statuses = threading.Event(), [], []

    def trickling():
        parts = [{"type": "http.request", "body": b"x", "more_body": True}]

        async def receive():
            while not parts and not ended.is_set():
                await asyncio.sleep(0.01)
            return parts.pop() if parts else {"type": "http.disconnect"}

        async def answer(message):
            statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

        asking.append(threading.Thread(target=lambda: server.client.portal.call(server.app, upload_scope(), receive, answer)))
        asking[-1].start()

    for number in range(4):
        trickling()
        until(lambda number=number: len(server.service.uploads) == number + 1)
    assert server.service.taken == 0
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    until(lambda: statuses == [408])
    trickling()
    trickling()
    until(lambda: statuses == [408, 408])
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    ended.set()
    for thread in asking:
        thread.join(60)
    assert (server.leftovers, server.service.taken, server.service.uploads) == ([], 0, set())


def test_all_uploads_together_are_bounded(started, clip):
    server = started(queue=0, upload=1000)

    async def ask():
        async with asyncio.timeout(60) as deadline:
            with server.service.upload(deadline) as first, server.service.upload(deadline) as second:
                server.service.grow(first, 600)
                with pytest.raises(RefusedError, match="too much is being sent"):
                    server.service.grow(second, 600)
                with pytest.raises(RefusedError, match="more than 1,000 bytes"):
                    server.service.grow(first, 600)

    server.client.portal.call(ask)
    assert server.service.uploads == set()


# connections


def closed(connection: socket.socket) -> bool:
    """Whether the other side has ended a connection."""
    connection.setblocking(False)
    try:
        return connection.recv(65536) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_connection_without_a_request_is_dropped(listening, monkeypatch):
    monkeypatch.setattr("gerund.serving.connections.IDLE", 0.3)
    monkeypatch.setattr("gerund.serving.connections.CHECK_EVERY", 0.02)
    server = listening()
    beginnings = (b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    connections = [server.connect(data) for data in beginnings]
    assert connections[2].recv(100).startswith(b"HTTP/1.1 200 OK")
    until(lambda: all(closed(each) for each in connections))
    for each in connections:
        each.close()
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_client_that_reads_nothing_is_dropped(listening, monkeypatch):
    monkeypatch.setattr("gerund.serving.connections.STUCK", 0.3)
    monkeypatch.setattr("gerund.serving.connections.CHECK_EVERY", 0.02)
    server = listening()
    connection = server.connect(b"GET /static/page.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 1000)
    until(lambda: server.server.server_state.connections)
    until(lambda: not server.server.server_state.connections)
    connection.close()


def test_more_connections_than_are_held_keep_nobody_out(listening, clip, monkeypatch):
    monkeypatch.setattr("gerund.serving.connections.CONNECTIONS", 10)
    server = listening(token=TOKEN, loopback=False)
    head = b"POST /v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nx"
    for beginning in (b"", head):
        idle = [server.connect(beginning) for _ in range(30)]
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        answer = httpx.post(f"{server.url}/v1/predict", content=clip.read_bytes(), headers=BEARER)
        assert answer.status_code == 200
        assert len(server.server.server_state.connections) <= 10
        for each in idle:
            each.close()


def test_those_who_may_ask_are_dropped_last(listening, clip, monkeypatch):
    monkeypatch.setattr("gerund.serving.connections.CONNECTIONS", 3)
    server = listening(token=TOKEN, loopback=False)
    known = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + TOKEN.encode()
    mine = server.connect(known + b"\r\nContent-Length: 9\r\n\r\nx")
    until(lambda: server.service.uploads)
    others = [server.connect(b"POST /v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nx") for _ in range(6)]
    until(lambda: sum(map(closed, others)) == 4)
    assert server.service.uploads
    mine.sendall(b"no video")
    assert mine.recv(100).startswith(b"HTTP/1.1 422")
    for each in (mine, *others):
        each.close()


def test_what_strangers_send_is_not_logged(listening, caplog):
    server = listening(token=TOKEN, loopback=False)
    for request in (b"no HTTP at all\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"):
        with server.connect(request) as connection:
            assert connection.recv(100).startswith((b"HTTP/1.1 400", b"HTTP/1.1 200"))
    assert [record for record in caplog.records if record.name != "gerund.progress"] == []


def test_an_upload_over_the_limit_is_refused_by_its_length_and_by_count(started, clip):
    server = started(upload=10_000)
    body = b"x" * 10_001
    for content in (body, iter([body[:6000], body[6000:]])):
        answer = server.client.post("/v1/predict", content=content)
        assert answer.status_code == 413
        assert "more than 10,000 bytes" in answer.json()["error"]
        assert server.leftovers == []
    assert server.client.post("/v1/jobs", content=body).status_code == 413
    assert (server.leftovers, server.service.taken) == ([], 0)


def test_an_empty_body_and_a_form_are_told_what_to_send(server):
    empty = server.client.post("/v1/predict", content=b"")
    form = server.client.post("/v1/predict", files={"file": b"x"})
    assert (empty.status_code, form.status_code) == (400, 415)
    assert "empty" in empty.json()["error"]
    assert "--data-binary @video.mp4" in form.json()["error"]


def test_an_upload_that_stops_is_given_up(started, monkeypatch):
    monkeypatch.setattr("gerund.serving.requests.UPLOAD_SILENCE", 0.2)
    monkeypatch.setattr("gerund.serving.requests.DISCARD_SECONDS", 0.1)
    server = started()
    parts = [{"type": "http.request", "body": b"x", "more_body": True}]

    async def silent():
        while not parts:
            await asyncio.sleep(600)
        return parts.pop()

    answers = []

    async def answer(message):
        answers.append(message)

    server.client.portal.call(server.app, upload_scope(), silent, answer)
    assert answers[0]["status"] == 408
    assert (server.leftovers, server.service.taken) == ([], 0)


def test_a_client_that_goes_away_takes_its_work_with_it(server, clip):
    (pid,) = server.stop_workers()
    gone = threading.Event()
    receive = body_then_silence(clip.read_bytes(), gone)

    async def answer(_):
        pass

    asking = threading.Thread(target=lambda: server.client.portal.call(server.app, upload_scope(), receive, answer))
    asking.start()
    until(lambda: server.service.analyst.tasks)
    gone.set()
    asking.join()
    assert (server.leftovers, server.service.taken) == ([], 0)
    until(lambda: server.service.analyst.pool.workers[0].process.pid != pid)


def test_a_full_disk_is_said_and_leaves_nothing(server, clip, monkeypatch):
    monkeypatch.setattr("gerund.serving.analyst.VIDEO", "video")
    real = type(clip).open

    def full(path, mode="r", *rest, **named):
        if mode == "wb":
            raise OSError(28, "No space left on device")
        return real(path, mode, *rest, **named)

    monkeypatch.setattr(type(clip), "open", full)
    answer = server.client.post("/v1/predict", content=b"x")
    assert answer.status_code == 507
    assert "No space left on device" in answer.json()["error"]
    assert (server.leftovers, server.service.taken) == ([], 0)


def test_a_disk_that_fills_while_features_are_stored_costs_that_request_only(started, clip, monkeypatch, caplog):
    server = started(workers=2)
    server.stop_workers()
    job = server.client.post("/v1/jobs", content=clip.read_bytes()).json()["id"]
    server.wait_for(job, "running")
    workers = list(server.service.analyst.pool.workers)
    (other,) = (worker.process.pid for worker in workers if not worker.jobs)
    os.kill(other, signal.SIGCONT)
    write = Path.write_bytes

    def full(path, data):
        if "features" in path.parts and job not in path.parts:
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    for _ in range(2):
        answer = server.client.post("/v1/predict", content=clip.read_bytes())
        assert (answer.status_code, answer.json()["error"]) == (507, "its features cannot be stored; the disk may be full")
    assert server.job(job)["state"] == "running"
    for worker in workers:
        os.kill(worker.process.pid, signal.SIGCONT)
    assert server.wait_for(job, "done", "failed")["state"] == "done"
    monkeypatch.setattr(Path, "write_bytes", write)
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    assert server.service.analyst.pool.workers == workers
    assert server.leftovers == [job]
    assert "No space left on device" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_job_whose_features_cannot_be_stored_says_so(server, clip, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    job = server.client.post("/v1/jobs", content=clip.read_bytes(), headers={"X-Video-Name": "a.mp4"}).json()["id"]
    assert server.wait_for(job, "failed")["error"] == "a.mp4: its features cannot be stored; the disk may be full"
    assert (server.leftovers, server.service.taken, server.service.analyst.tasks) == ([], 0, {})


def test_nothing_stays_of_a_job_that_is_deleted_while_its_last_rows_are_made(server, clip, monkeypatch):
    analyst, waiting, gate = server.service.analyst, threading.Event(), threading.Event()
    submit = analyst.engine.submit

    def at_the_gate(done, rows):
        waiting.set()
        gate.wait(60)
        done(rows)

    with monkeypatch.context() as patch:
        patch.setattr(analyst.engine, "submit", lambda batch, done: submit(batch, lambda rows: at_the_gate(done, rows)))
        job = server.client.post("/v1/jobs", content=clip.read_bytes()).json()["id"]
        until(lambda: waiting.is_set() and all(task.decoded for task in analyst.tasks.values()))
    assert server.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert server.leftovers == []
    gate.set()
    until(lambda: not analyst.tasks)
    assert server.leftovers == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_while_a_video_is_drawn_is_said(server, clip, monkeypatch):
    job = server.client.post("/v1/jobs", content=clip.read_bytes()).json()["id"]
    server.wait_for(job, "done")
    (server.service.scratch.folder / job / "partial-annotated.mp4").symlink_to("/dev/full")
    answer = server.client.get(f"/v1/jobs/{job}/annotated.mp4")
    assert (answer.status_code, answer.json()["error"]) == (507, "it cannot be written; the disk may be full")


def test_too_long_too_large_and_too_many_packets_are_refused(started, clip):
    for limits, words in (
        ({"duration": 2.0}, "longer than 2 s"),
        ({"pixels": 1000}, "64 x 48 pixels; at most 1,000"),
        ({"packets": 20}, "more than 20 packets"),
    ):
        server = started(**limits)
        answer = server.client.post("/v1/predict", content=clip.read_bytes())
        assert answer.status_code == 422
        assert words in answer.json()["error"]
        assert server.leftovers == []


def test_an_animated_webp_is_answered_and_bound_like_any_video(started, tmp_path):
    images = [Image.new("RGB", (48, 32), (20 * index,) * 3) for index in range(4)]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], duration=[100, 100, 100, 4000])
    content = (tmp_path / "a.webp").read_bytes()
    assert started().client.post("/v1/predict", content=content).status_code == 200
    for limits, words in (
        ({"duration": 2.0}, "longer than 2 s"),
        ({"pixels": 1000}, "48 x 32 pixels"),
        ({"packets": 2}, "more than 2"),
    ):
        answer = started(**limits).client.post("/v1/predict", content=content)
        assert answer.status_code == 422
        assert words in answer.json()["error"]


def test_a_stream_that_grows_after_its_header_is_refused(started, tmp_path):
    for name, side in (("small", 32), ("large", 160)):
        video.write(tmp_path / f"{name}.ts", (np.full((side, side, 3), index, np.uint8) for index in range(9)), fps=25)
    grows = (tmp_path / "small.ts").read_bytes() + (tmp_path / "large.ts").read_bytes()
    server = started(pixels=5000)
    answer = server.client.post("/v1/predict", content=grows)
    assert answer.status_code == 422
    assert "160 x 160 pixels; at most 5,000 are taken" in answer.json()["error"]
    assert server.client.post("/v1/predict", content=(tmp_path / "small.ts").read_bytes()).status_code == 200


def test_both_processes_open_plain_containers_only_and_no_picture_that_is_too_large(started, clip, tmp_path):
    rare = tmp_path / "a.wtv"
    video.write(rare, (np.full((32, 48, 3), 20 * index, np.uint8) for index in range(9)), fps=25, codec="mpeg2video")
    assert video.probe(rare).width == 48  # whoever sits at the machine may open it
    answer = started().client.post("/v1/predict", content=rare.read_bytes())
    assert (answer.status_code, "of a kind that is not taken" in answer.json()["error"]) == (422, True)
    empty = Timeline(path=rare, labels=["a"], pts=np.zeros(1), scores=np.ones((1, 1), np.float32), segments=[], duration=0.4)
    for path, limits, words in ((rare, Limits(), "of a kind that is not taken"), (clip, Limits(pixels=1000), "64 x 48 pixels")):
        for kind in ("preview", "annotated"):
            with pytest.raises(VideoError, match=words):
                asyncio.run(drawing.draw_film(kind, path, tmp_path / "out.mp4", empty, limits))


def test_a_video_without_a_length_is_stopped_where_the_limit_is(started, tmp_path):
    raw = tmp_path / "raw.h264"
    video.write(raw, (np.full((32, 32, 3), index % 200, np.uint8) for index in range(200)), fps=25)
    server = started(duration=3.0)
    answer = server.client.post("/v1/predict", content=raw.read_bytes())
    assert answer.status_code == 422
    assert "longer than 3 s" in answer.json()["error"]


def test_videos_stopped_in_their_middle_cost_the_next_visitor_nothing(started, clip, tmp_path, monkeypatch):
    monkeypatch.setattr("gerund.core.workers.SILENCE_LIMIT", 20.0)  # so that a decoder that waits for ever fails this test soon
    raw = tmp_path / "raw.h264"
    video.write(raw, (np.full((32, 32, 3), index, np.uint8) for index in range(90)), fps=25)
    server = started(duration=3.0)
    (worker,) = server.service.analyst.pool.workers
    for _ in range(decoding.SLOTS + 1):
        for path in ("/v1/predict", "/v1/jobs"):
            answer = server.client.post(path, content=raw.read_bytes())
            if path == "/v1/jobs":
                assert "longer than 3 s" in server.wait_for(answer.json()["id"], "failed")["error"]
            else:
                assert "longer than 3 s" in answer.json()["error"]
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    assert server.service.analyst.pool.workers == [worker]


def test_a_decoder_that_takes_too_long_is_ended(started, clip):
    server = started(seconds_now=0.5)
    (pid,) = server.stop_workers()
    answer = server.client.post("/v1/predict", content=clip.read_bytes())
    assert answer.status_code == 422
    assert "took longer than" in answer.json()["error"]
    until(lambda: server.service.analyst.pool.workers[0].process.pid != pid)
    server.service.limits = Limits()
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200


# what a stranger's file can do


def disguised(tmp_path, clip):
    """Files that name other files or addresses, by what they are."""
    shutil.copy(clip, tmp_path / "inner.mp4")
    inner = tmp_path / "inner.mp4"
    return {
        "concat": f"ffconcat version 1.0\nfile {inner}\n",
        "concat of an address": "ffconcat version 1.0\nfile http://127.0.0.1:PORT/a.mp4\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{inner}\n#EXT-X-ENDLIST\n",
        "hls of an address": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:PORT/a.ts\n#EXT-X-ENDLIST\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video PORT RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>http://127.0.0.1:PORT/a.mp4</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>",
        "rtsp redirect": "[Reference]\r\nRef1=rtsp://127.0.0.1:PORT/a\r\n",
    }


def external_track(clip_bytes: bytes, target: str) -> bytes:
    """The clip with its data reference pointing at another file, as QuickTime allows."""
    place = clip_bytes.index(b"url ")
    at = place - 4
    named = target.encode() + b"\0"
    entry = struct.pack(">I4sI", 12 + len(named), b"url ", 0) + named
    old = struct.unpack(">I", clip_bytes[at : at + 4])[0]
    return clip_bytes[:at] + entry + clip_bytes[at + old :]


def test_a_file_in_disguise_opens_no_other_file_and_no_connection(server, clip, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        for kind, text in disguised(tmp_path, clip).items():
            answer = server.client.post(
                "/v1/predict", content=text.replace("PORT", str(port)).encode(), headers={"X-Video-Name": "a.mp4"}
            )
            assert answer.status_code == 422, kind
            assert "a.mp4: not" in answer.json()["error"]
        server.client.post("/v1/predict", content=external_track(clip.read_bytes(), f"http://127.0.0.1:{port}/a.mp4"))
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    "kind", ["concat", "concat of a neighbour", "concat of an address", "hls", "hls of an address", "sdp", "dash"]
)
def test_a_file_in_disguise_is_followed_by_no_command_either(clip, tmp_path, kind):
    texts = disguised(tmp_path, clip)
    texts["concat of a neighbour"] = texts["concat"].replace(f"{tmp_path}/", "")
    path = tmp_path / "a.mp4"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        path.write_text(texts[kind].replace("PORT", str(listener.getsockname()[1])))
        for read in (
            lambda: video.probe(path),
            lambda: next(video.read(path)),
            lambda: next(video.wanted_frames(path, fps=8.0)),
            lambda: video.frame_at(path, 0.5),
            lambda: next(stream.live(str(path), name="a.mp4")),
            lambda: next(stream.live(io.BytesIO(path.read_bytes()), name="a pipe")),
        ):
            with pytest.raises(VideoError, match=r"(a\.mp4|a pipe): not"):
                read()
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace shows which files are opened; it is not installed")
def test_the_decoder_opens_the_upload_and_nothing_else(clip, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text(disguised(tmp_path, clip)["concat"].replace(f"{tmp_path}/", ""))
    code = (
        "import sys; from pathlib import Path; from gerund import video\n"
        "from gerund.core.errors import VideoError\nfrom gerund.video.container import strangers_file\n"
        "print('now', flush=True)\n"
        "try: video.probe(Path(sys.argv[1]), trust=strangers_file())\nexcept VideoError as error: print(error)"
    )
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=openat,open,connect,socket", "-o", tmp_path / "trace.txt", sys.executable, "-c", code, path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert "not readable as video" in done.stdout
    trace = (tmp_path / "trace.txt").read_text()
    assert "a.mp4" in trace
    assert "inner.mp4" not in trace
    assert "connect(" not in trace


def in_a_bound_process(code: str) -> subprocess.CompletedProcess:
    bound = "from gerund.serving.limits import shut_in; shut_in(cpu_seconds=1)\n"
    return subprocess.run([sys.executable, "-c", bound + code], capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_decoder_cannot_write_open_many_files_or_take_all_memory(tmp_path):
    writing = f"import os; os.write(os.open({str(tmp_path / 'x')!r}, os.O_CREAT | os.O_WRONLY), b'x')"
    assert "File too large" in in_a_bound_process(writing).stderr
    assert "Too many open files" in in_a_bound_process("held = [open('/dev/null') for _ in range(100)]").stderr
    assert "MemoryError" in in_a_bound_process("bytearray(9 * 2**30)").stderr
    assert in_a_bound_process("while True: pass").returncode == -signal.SIGXCPU
    limits = (
        "import resource as r; print([r.getrlimit(n) for n in (r.RLIMIT_NOFILE, r.RLIMIT_FSIZE, r.RLIMIT_NPROC, r.RLIMIT_AS)])"
    )
    assert in_a_bound_process(limits).stdout == f"[(64, 64), (0, 0), (0, 0), ({8 * 2**30}, {8 * 2**30})]\n"


@pytest.mark.parametrize(("tag", "words"), [(b"zzzz", "codec that is not known"), (b"encv", "are encrypted")])
def test_a_codec_that_nobody_knows_costs_one_answer_and_no_decoder(server, clip, tag, words):
    body = clip.read_bytes().replace(b"avc1", tag)
    workers = list(server.service.analyst.pool.workers)
    for _ in range(2):
        answer = server.client.post("/v1/predict", content=body)
        assert answer.status_code == 422
        assert words in answer.json()["error"]
    job = server.client.post("/v1/jobs", content=body).json()["id"]
    assert words in server.wait_for(job, "failed", "done")["error"]
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    assert server.service.analyst.pool.workers == workers


def test_the_page_builds_no_markup_from_text():
    static = Path(server_module.__file__).parent / "static"
    scripts = {path.name: path.read_text(encoding="utf-8") for path in static.glob("*.js")}
    assert scripts
    for name, text in scripts.items():
        for way in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "srcdoc",
            "DOMParser",
        ):
            assert way not in text, (name, way)
    page = (static / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page)


def test_the_numbers_of_the_page_on_security_are_those_of_the_code():
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    limits = Limits()
    for number in (
        f"{limits.seconds_now:.0f} s for `predict`",
        f"{limits.seconds_job / 3600:.0f} h for jobs",
        f"{requests.UPLOAD_SILENCE:.0f} s",
        f"{security.SMALL_BODY // 1000} kB and {security.SMALL_BODY_SECONDS:.0f} s",
        f"{security.LONGEST_ADDRESS:,} characters",
        f"{connections.CONNECTIONS} connections",
        f"{connections.IDLE:.0f} s for a whole request head",
        f"{connections.STUCK:.0f} s for reading",
        "four uploads on their way for each place",
    ):
        assert number in text, number
    assert (service_module.UPLOADS_PER_PLACE, requests.LONGEST_UPLOAD, security.PAUSE) == (4, 3600, 1.0)


def test_a_decoder_that_crashes_costs_one_request(server, clip):
    (pid,) = server.stop_workers()
    job = server.client.post("/v1/jobs", content=clip.read_bytes()).json()
    waiting = server.client.post("/v1/jobs", content=clip.read_bytes()).json()
    server.wait_for(job["id"], "running")
    os.kill(pid, signal.SIGKILL)
    assert "the decoder crashed (signal 9)" in server.wait_for(job["id"], "failed")["error"]
    assert server.wait_for(waiting["id"], "done", "failed")["state"] == "done"
    assert server.leftovers == [waiting["id"]]


def test_a_decoder_that_dies_while_idle_costs_nobody(server, clip):
    for worker in server.service.analyst.pool.workers:
        worker.process.kill()
        worker.process.wait()
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200


def test_a_video_that_comes_to_its_end_as_it_is_ended_costs_the_next_one_nothing(clip):
    reading = decoding.Reading(fps=8.0, resize=Resize(height=16, width=16, fit="squeeze"))
    with ServingPool(reading, 1, Limits()) as pool:
        pool.submit(decoding.DecodeJob(index=0, path=clip.with_name("none.mp4")))
        until(lambda: not pool.reports.empty())  # it says that it is done with the first
        pool.cancel(0)
        ends = {}
        for event in pool.run([decoding.DecodeJob(index=1, path=clip)]):
            if isinstance(event, decoding.Decoded):
                event.release()
            elif isinstance(event, decoding.Finished):
                ends[event.index] = event.error
    assert ends[1] is None
    assert "no such file" in ends[0]


def test_features_that_are_not_finite_are_told_while_another_decoder_is_silent(started, clip, monkeypatch):
    server = started(workers=2)
    server.stop_workers()
    job = server.client.post("/v1/jobs", content=clip.read_bytes()).json()["id"]
    server.wait_for(job, "running")
    workers = list(server.service.analyst.pool.workers)
    for worker in workers:
        if not worker.jobs:
            os.kill(worker.process.pid, signal.SIGCONT)
    submit = server.service.analyst.engine.submit
    with monkeypatch.context() as patch:
        patch.setattr(
            server.service.analyst.engine, "submit", lambda batch, done: submit(batch, lambda rows: done(rows * np.nan))
        )
        answer = server.client.post("/v1/predict", content=clip.read_bytes())
    assert (answer.status_code, server.job(job)["state"]) == (422, "running")
    assert "not finite" in answer.json()["error"]
    assert server.client.delete(f"/v1/jobs/{job}").status_code == 204


def test_a_failing_backbone_is_a_503_and_the_next_request_has_a_chance(server, clip, monkeypatch):
    def broken(*_):
        raise RuntimeError("the device fell over")

    with monkeypatch.context() as patch:
        patch.setattr(server.service.analyst.engine, "submit", broken)
        answer = server.client.post("/v1/predict", content=clip.read_bytes())
        assert (answer.status_code, answer.json()["error"]) == (503, "the server failed; its log says how")
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    assert server.leftovers == []


def test_features_that_are_not_finite_are_a_422(server, clip, monkeypatch):
    submit = server.service.analyst.engine.submit
    with monkeypatch.context() as patch:
        patch.setattr(
            server.service.analyst.engine, "submit", lambda batch, done: submit(batch, lambda rows: done(rows * np.nan))
        )
        answer = server.client.post("/v1/predict", content=clip.read_bytes())
    assert answer.status_code == 422
    assert "not finite" in answer.json()["error"]
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    assert (server.leftovers, server.service.analyst.tasks) == ([], {})


def test_leftovers_of_servers_that_are_no_more_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = tmp_path / "gerund-serve-dead"
    dead.mkdir()
    (dead / "video").write_text("private")
    (tmp_path / "gerund-serve-link").symlink_to(tmp_path / "other")
    (tmp_path / "other").mkdir()
    with scratch.Scratch() as first, scratch.Scratch() as second:
        assert not dead.exists()
        assert first.folder.is_dir()
        assert first.folder != second.folder
        assert first.folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in tmp_path.iterdir()} == {"gerund-serve-link", "other"}


def test_a_start_that_takes_a_new_folder_for_a_leftover_costs_its_owner_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make, made = scratch.tempfile.mkdtemp, []

    def made_and_taken(**named):
        made.append(make(**named))
        scratch.remove_leftovers()  # another start, in the instant between a folder and its lock
        return made[-1]

    monkeypatch.setattr(scratch.tempfile, "mkdtemp", made_and_taken)
    with scratch.Scratch() as own:
        scratch.remove_leftovers()
        assert [str(own.folder)] == made[-1:]
        assert own.folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_starts_side_by_side_do_not_take_each_others_folders(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def start(_):
        with scratch.Scratch() as own:
            (own.folder / "upload").write_text("mine")
            scratch.remove_leftovers()
            return (own.folder / "upload").read_text()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(start, range(200))) == ["mine"] * 200
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_uploads_that_a_cleaner_took_is_made_anew(server, clip):
    job = server.client.post("/v1/jobs", content=clip.read_bytes()).json()["id"]
    server.wait_for(job, "done")
    first = server.service.scratch.folder
    shutil.rmtree(first)
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    second = server.service.scratch.folder
    assert second != first
    assert second.stat().st_mode & 0o777 == 0o700
    assert server.job(job)["state"] == "done"
    answer = server.client.get(f"/v1/jobs/{job}/annotated.mp4")
    assert (answer.status_code, answer.json()["error"]) == (404, "the video of this job is no longer there; send it again")
    shutil.rmtree(second)
    assert server.client.get("/readyz").status_code == 200
    assert server.service.scratch.folder.is_dir()
    (server.service.scratch.folder / scratch.LOCK).unlink()
    third = server.service.scratch.folder
    server.service.scratch.keep()
    scratch.remove_leftovers()
    assert server.service.scratch.folder == third
    assert third.is_dir()


def test_no_place_for_uploads_at_all_is_said_and_mended_when_there_is_one_again(server, clip, tmp_path):
    shutil.rmtree(tmp_path / "temporary")
    assert server.client.get("/readyz").status_code == 503
    answer = server.client.post("/v1/predict", content=clip.read_bytes())
    assert (answer.status_code, answer.json()["error"]) == (507, "the upload cannot be stored (No such file or directory)")
    (tmp_path / "temporary").mkdir()
    assert server.client.get("/readyz").status_code == 200
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200


def test_limits_travel_to_the_worker():
    assert Limits(**asdict(Limits(upload=1))) == Limits(upload=1)
