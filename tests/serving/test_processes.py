"""`gerund serve` as a process: it starts, ends and is killed; no leftover files, no stuck queue, no answer of the 500s."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from support.servers import until

pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")


def scratch_of(temporary) -> list[str]:
    return sorted(path.name for path in temporary.iterdir() if path.name.startswith("gerund-serve-"))


def test_sigterm_finishes_what_runs_and_leaves_nothing(process, clip):
    server = process("--workers", "1")
    (decoder,) = server.children()
    os.kill(decoder, signal.SIGSTOP)
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{server.url}/v1/predict", content=clip.read_bytes(), timeout=60))
    )
    asking.start()
    until(lambda: "gerund_places_taken 1" in httpx.get(f"{server.url}/metrics").text)
    server.process.send_signal(signal.SIGTERM)

    def refused() -> bool:
        try:
            httpx.get(f"{server.url}/healthz")
        except httpx.ConnectError:
            return True
        return False

    until(refused)
    os.kill(decoder, signal.SIGCONT)
    asking.join()
    assert answers[0].status_code == 200
    assert server.process.wait(60) == 0
    assert scratch_of(server.temporary) == []
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_kill_9_of_the_server_leaves_nothing_after_a_restart(process, clip):
    first = process("--workers", "1")
    (decoder,) = first.children()
    os.kill(decoder, signal.SIGSTOP)
    job = httpx.post(f"{first.url}/v1/jobs", content=clip.read_bytes()).json()
    (folder,) = scratch_of(first.temporary)
    assert (first.temporary / folder / job["id"] / "video").read_bytes() == clip.read_bytes()
    first.end(signal.SIGKILL)
    os.kill(decoder, signal.SIGCONT)

    def gone() -> bool:
        try:
            os.kill(decoder, 0)
        except ProcessLookupError:
            return True
        return False

    second = process()
    until(gone)
    assert len(scratch_of(second.temporary)) == 1
    assert folder not in scratch_of(second.temporary)
    assert httpx.post(f"{second.url}/v1/predict", content=clip.read_bytes()).status_code == 200
    assert second.end() == 0
    assert list(second.temporary.iterdir()) == []


@pytest.mark.slow
def test_kill_9_of_decoders_in_the_middle_of_jobs_leaves_no_stuck_queue(process, clip):
    server = process("--workers", "2")
    for pid in server.children():
        os.kill(pid, signal.SIGSTOP)
    jobs = [httpx.post(f"{server.url}/v1/jobs", content=clip.read_bytes()).json()["id"] for _ in range(8)]
    until(lambda: httpx.get(f"{server.url}/v1/jobs/{jobs[0]}").json()["state"] == "running")
    for pid in server.children():
        os.kill(pid, signal.SIGKILL)

    def states() -> list[str]:
        return [httpx.get(f"{server.url}/v1/jobs/{job}").json()["state"] for job in jobs]

    until(lambda: not {"queued", "running"} & set(states()))
    assert states() == ["failed", *["done"] * 7]
    assert "gerund_queue_length 0" in httpx.get(f"{server.url}/metrics").text
    (folder,) = scratch_of(server.temporary)
    kept = {path.name for path in (server.temporary / folder).iterdir() if path.is_dir()}
    assert kept == set(jobs[1:])


def test_other_addresses_need_the_token_and_the_log_does_not_have_it(process, clip):
    token = "correct-horse-battery-staple"
    server = process("--host", "0.0.0.0", environment={"GERUND_TOKEN": token})
    assert httpx.get(f"{server.url}/v1/model").status_code == 401
    known = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{server.url}/v1/model", headers=known).status_code == 200
    assert httpx.post(f"{server.url}/v1/predict", content=clip.read_bytes(), headers=known).status_code == 200
    for pid in server.children():
        assert token not in Path(f"/proc/{pid}/environ").read_text()
    server.end()
    assert token not in server.log.read_text()


@pytest.mark.slow
def test_no_request_of_thousands_made_from_the_description_gets_a_500(process):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, settings

    server = process()
    description = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    asked = 0
    for operation in description.get_all_operations():
        case_of = operation.ok().as_strategy()

        from hypothesis import given

        @settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=case_of)
        def no_500(case) -> None:
            nonlocal asked
            asked += 1
            answer = case.call(base_url=server.url, timeout=30)
            assert answer.status_code < 500, f"{case.method} {case.formatted_path}: {answer.status_code} {answer.text[:300]}"

        no_500()
    assert asked > 500
    assert httpx.get(f"{server.url}/readyz").status_code == 200
    assert "Traceback" not in server.log.read_text()
