"""A stand-in for a Hugging Face hub: the few addresses that huggingface_hub asks for models, kept in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_test"


class Hub(ThreadingHTTPServer):
    """`models`: repository -> path -> content; `private` repositories want the token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def revision(self, repository: str) -> str:
        return hashlib.sha1(repr(sorted(self.models[repository].items())).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        parts = path.strip("/").split("/")
        if parts == [""]:
            return self.answer({})
        owner, name, *rest = parts[2:] if parts[:2] == ["api", "models"] else parts
        repository = f"{owner}/{name}"
        if repository not in self.server.models or (repository in self.server.private and not self.known):
            return self.answer({"error": "Repository not found"}, 401, {"X-Error-Code": "RepoNotFound"})
        revision = self.server.revision(repository)
        what, *rest = rest or ["revision", "main"]
        if rest[0] not in ("main", revision):
            return self.answer({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        files = self.server.models[repository]
        if what == "revision":
            return self.answer({"id": repository, "sha": revision, "siblings": [{"rfilename": each} for each in files]})
        if what == "tree":
            rows = [{"type": "file", "path": each, "size": len(data), "oid": git_id(data)} for each, data in files.items()]
            return self.answer(rows)
        content = files["/".join(rest[1:])]
        return self.answer(content, headers={"ETag": f'"{git_id(content)}"', "X-Repo-Commit": revision})

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.known:
            return self.answer({"error": "Invalid username or password."}, 401)
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            return self.create(json.loads(body))
        repository, _, action = self.path.removeprefix("/api/models/").removesuffix("/main").rpartition("/")
        if action == "preupload":
            paths = [each["path"] for each in json.loads(body)["files"]]
            return self.answer({"files": [{"path": each, "uploadMode": "regular", "shouldIgnore": False} for each in paths]})
        lines = [json.loads(line) for line in body.splitlines()]
        files = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"}
        self.server.models[repository] |= files
        revision = self.server.revision(repository)
        return self.answer({"commitUrl": f"{self.server.address}/{repository}/commit/{revision}", "commitOid": revision})

    def create(self, wanted: dict[str, Any]) -> None:
        repository = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
        there = repository in self.server.models
        self.server.models.setdefault(repository, {})
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.server.private.add(repository)
        self.answer({"url": f"{self.server.address}/{repository}"}, 409 if there else 200)


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def running() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
