"""The API: the same answers as the command line, jobs that can be followed and ended, a queue with an end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from gerund import video
from gerund.core.types import Segment
from gerund.data.datasets import load_annotations
from support.servers import LABELS, body_then_silence, until, upload_scope

pytest.importorskip("fastapi")

from gerund.serving import drawing, processes


def test_predict_answers_what_the_command_prints(server, model, clip):
    code = "from gerund.cli.app import main; main()"
    command = [sys.executable, "-c", code, "predict", str(model), str(clip), "--json", "--quiet"]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    answer = server.client.post("/v1/predict", content=clip.read_bytes(), headers={"X-Video-Name": quote(clip.name)})
    assert answer.status_code == 200
    assert answer.json() == printed | {"path": clip.name}
    assert server.leftovers == []


def test_top_k_limits_the_labels(server, clip):
    answer = server.client.post("/v1/predict?top_k=1", content=clip.read_bytes())
    assert len(answer.json()["scores"]) == 1
    assert server.client.post("/v1/predict?top_k=0", content=clip.read_bytes()).status_code == 400


def test_a_name_is_shown_and_never_used_as_a_path(server, clip):
    for name, shown in (
        ("../../etc/passwd", "passwd"),
        ("C:\\videos\\été.mp4", "été.mp4"),
        ("a\nb\x00.mp4", "ab.mp4"),
        ("..", ".."),
        ("x" * 500, "x" * 200),
        ("", "video"),
    ):
        answer = server.client.post("/v1/predict?top_k=1", content=clip.read_bytes(), headers={"X-Video-Name": quote(name)})
        assert answer.json()["path"] == shown
        assert server.leftovers == []


def test_a_job_is_followed_to_its_result(server, clip):
    answer = server.client.post("/v1/jobs", content=clip.read_bytes(), headers={"X-Video-Name": "walk.mp4"})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    with server.client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data: ")]
    assert events[-1]["state"] == "done"
    assert events[-1] == server.job(job["id"])
    result = events[-1]["result"]
    now = server.client.post("/v1/predict", content=clip.read_bytes(), headers={"X-Video-Name": "walk.mp4"}).json()
    assert result["prediction"] == now
    assert result["timeline"]["duration"] == pytest.approx(3.0, abs=0.13)
    steps = result["steps"]
    assert len(steps["pts"]) == len(steps["labels"]) == len(steps["scores"]) == 24
    assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in steps["scores"])
    assert sorted(steps["labels"][0]) == [0, 1, 2]
    weights = result["weights"]
    assert sum(each["weight"] for each in weights) == pytest.approx(1)
    assert [each["start"] for each in weights] == pytest.approx([0, 0.75, 1.5, 2.25], abs=0.05)
    assert all(before["end"] == after["start"] for before, after in pairwise(weights))


def test_a_job_that_is_not_there_is_404(server):
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/preview.mp4")):
        answer = server.client.request(method, f"/v1/jobs/nothing{path}")
        assert answer.status_code == 404
        assert "no such job" in answer.json()["error"]


def test_the_segments_come_as_subtitles_as_a_table_and_for_other_tools(server, clip, tmp_path):
    job = server.client.post("/v1/jobs", content=clip.read_bytes(), headers={"X-Video-Name": "walk.mp4"}).json()
    server.wait_for(job["id"], "done")
    job = server.service.jobs[job["id"]]
    job.timeline = replace(job.timeline, segments=[Segment(start=0.5, end=61.25, label="naïve waving", score=0.75)])
    texts = {form: server.client.get(f"/v1/jobs/{job.id}/timeline.{form}").text for form in ("srt", "vtt", "csv")}
    assert texts == {
        "srt": "1\n00:00:00,500 --> 00:01:01,250\nnaïve waving\n\n",
        "vtt": "WEBVTT\n\n00:00:00.500 --> 00:01:01.250\nnaïve waving\n\n",
        "csv": "path,start,end,label,score,error\r\nwalk.mp4,0.500,61.250,naïve waving,0.750000,\r\n",
    }
    assert server.client.get(f"/v1/jobs/{job.id}/timeline.exe").status_code == 400
    (tmp_path / "walk.mp4").write_bytes(clip.read_bytes())
    for form, tool in (("eaf", "elan"), ("tsv", "boris")):
        answer = server.client.get(f"/v1/jobs/{job.id}/timeline.{form}")
        assert str(Path.cwd()) not in answer.text, "folders of the server are its own affair"
        (tmp_path / f"walk.{form}").write_bytes(answer.content)
        (found,) = load_annotations(f"{tool}:{tmp_path / f'walk.{form}'}")
        assert (found.path, found.label, found.start, found.end) == (tmp_path / "walk.mp4", "naïve waving", 0.5, 61.25)


def test_a_preview_shows_the_same_pictures(server, clip, tmp_path):
    job = server.client.post("/v1/jobs", content=clip.read_bytes()).json()
    server.wait_for(job["id"], "done")
    answer = server.client.get(f"/v1/jobs/{job['id']}/preview.mp4")
    assert answer.headers["content-type"] == "video/mp4"
    (tmp_path / "preview.mp4").write_bytes(answer.content)
    original = np.concatenate([block.data for block in video.read(clip)])
    preview = np.concatenate([block.data for block in video.read(tmp_path / "preview.mp4")])
    assert preview.shape == original.shape
    assert np.abs(preview.astype(int) - original).mean() < 4
    part = server.client.get(f"/v1/jobs/{job['id']}/preview.mp4", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, answer.content[:10])


@pytest.fixture
def stopped_drawing(monkeypatch):
    """The processes that draw; each is stopped as soon as it was started, so that it never comes to its end."""
    found = []
    start = processes.create_subprocess_exec

    async def stopped(*words, **named):
        found.append(await start(*words, **named))
        os.kill(found[-1].pid, signal.SIGSTOP)
        return found[-1]

    monkeypatch.setattr(processes, "create_subprocess_exec", stopped)
    return found


def drawable(server, clip) -> str:
    job = server.client.post("/v1/jobs", content=clip.read_bytes()).json()
    server.wait_for(job["id"], "done")
    return job["id"]


def ask_for_film(server, job, receive):
    """GET its annotated video as a server asks the application; (thread, the status when it comes)."""
    statuses = []

    async def answer(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = upload_scope() | {"method": "GET", "path": f"/v1/jobs/{job}/annotated.mp4"}
    asking = threading.Thread(target=lambda: server.client.portal.call(server.app, scope, receive, answer))
    asking.start()
    return asking, statuses


def still_draws(server, job) -> bool:
    return server.service.drawing.locked() or any(
        "partial" in path.name for path in (server.service.scratch.folder / job).glob("*")
    )


def test_a_drawing_ends_with_the_client_that_asked_for_it(server, clip, stopped_drawing):
    job, gone = drawable(server, clip), threading.Event()
    asking, _ = ask_for_film(server, job, body_then_silence(b"", gone))
    until(lambda: stopped_drawing)
    gone.set()
    asking.join(60)
    assert stopped_drawing[0].returncode == -signal.SIGKILL
    assert not still_draws(server, job)
    assert server.job(job)["state"] == "done"


def test_a_drawing_ends_with_its_job(server, clip, stopped_drawing):
    job, other = drawable(server, clip), drawable(server, clip)
    asking = [ask_for_film(server, each, body_then_silence(b"", threading.Event())) for each in (job, job)]
    until(lambda: stopped_drawing)
    assert server.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert stopped_drawing[0].returncode == -signal.SIGKILL
    for thread, statuses in asking:
        thread.join(60)
        assert statuses == [404]
    assert len(stopped_drawing) == 1
    assert server.leftovers == [other]
    assert not still_draws(server, other)


def test_a_drawing_ends_with_its_time_and_with_its_server(server, clip, stopped_drawing):
    job = drawable(server, clip)
    server.service.limits = replace(server.service.limits, seconds_job=0.1)
    answer = server.client.get(f"/v1/jobs/{job}/annotated.mp4")
    assert (answer.status_code, answer.json()["error"]) == (422, "drawing it took longer than 0 s")
    assert not still_draws(server, job)
    server.service.limits = replace(server.service.limits, seconds_job=600.0)
    asking, statuses = ask_for_film(server, job, body_then_silence(b"", threading.Event()))
    until(lambda: len(stopped_drawing) == 2)
    server.client.portal.call(server.service.close)
    asking.join(60)
    assert ([each.returncode for each in stopped_drawing], statuses) == ([-signal.SIGKILL] * 2, [404])
    assert server.leftovers == []


def test_a_job_that_somebody_waits_for_a_drawing_of_is_not_tidied_away(started, clip, stopped_drawing):
    server = started(keep=60.0)
    job, gone = drawable(server, clip), threading.Event()
    asking, _ = ask_for_film(server, job, body_then_silence(b"", gone))
    until(lambda: stopped_drawing)
    server.service.keep = 0.0
    server.service.tidy()
    assert server.job(job)["state"] == "done"
    gone.set()
    asking.join(60)
    server.service.tidy()
    assert server.leftovers == []


def test_the_process_that_draws_ends_when_its_server_is_killed(server, clip, tmp_path):
    job = server.service.jobs[drawable(server, clip)]
    order = {
        "kind": "annotated",
        "source": str(clip),
        "out": str(tmp_path / "out.mp4"),
        "limits": asdict(server.service.limits),
        "timeline": drawing.plain_timeline(job.timeline),
    }
    command = [sys.executable, "-m", "gerund.serving.drawing"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        os.kill(process.pid, signal.SIGSTOP)
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.close()  # what the system does when the server dies
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(60) == 1


def test_deleting_a_running_job_ends_its_decoder(server, clip):
    (pid,) = server.stop_workers()
    job = server.client.post("/v1/jobs", content=clip.read_bytes()).json()
    server.wait_for(job["id"], "running")
    assert server.leftovers == [job["id"]]
    assert server.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert server.leftovers == []
    until(lambda: server.service.analyst.pool.workers[0].process.pid != pid)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert server.client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    assert server.service.taken == 0


def test_deleting_a_waiting_job_lets_the_next_one_come(server, clip):
    (pid,) = server.stop_workers()
    first, second, third = (server.client.post("/v1/jobs", content=clip.read_bytes()).json()["id"] for _ in range(3))
    server.wait_for(first, "running")
    assert [server.job(each)["position"] for each in (first, second, third)] == [None, 0, 1]
    server.client.delete(f"/v1/jobs/{second}")
    assert server.job(third)["position"] == 0
    os.kill(pid, signal.SIGCONT)
    assert server.wait_for(first, "done", "failed")["state"] == "done"
    assert server.wait_for(third, "done", "failed")["state"] == "done"
    assert server.leftovers == sorted([first, third])


def test_a_job_leaves_a_worker_to_those_who_wait(started, clip):
    server = started(workers=2)
    pids = server.stop_workers()
    jobs = [server.client.post("/v1/jobs", content=clip.read_bytes()).json()["id"] for _ in range(3)]
    server.wait_for(jobs[0], "running")
    busy = next(worker for worker in server.service.analyst.pool.workers if worker.jobs)
    for pid in pids:
        if pid != busy.process.pid:
            os.kill(pid, signal.SIGCONT)
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    assert [server.job(each)["state"] for each in jobs] == ["running", "queued", "queued"]
    os.kill(busy.process.pid, signal.SIGCONT)
    assert [server.wait_for(each, "done", "failed")["state"] for each in jobs] == ["done"] * 3


def test_finished_jobs_go_when_their_time_is_over(started, clip):
    server = started(keep=0.2)
    job = server.client.post("/v1/jobs", content=clip.read_bytes()).json()
    until(lambda: server.client.get(f"/v1/jobs/{job['id']}").status_code == 404)
    assert server.leftovers == []


def test_finished_jobs_make_room_for_new_ones(started, clip):
    server = started(upload=clip.stat().st_size)
    jobs = []
    for _ in range(9):
        jobs.append(server.client.post("/v1/jobs", content=clip.read_bytes()).json()["id"])
        server.wait_for(jobs[-1], "done")
    until(lambda: server.client.get(f"/v1/jobs/{jobs[0]}").status_code == 404)
    assert server.leftovers == sorted(jobs[1:])


def test_a_full_queue_says_when_to_come_again(started, clip):
    server = started(queue=1)
    with server.service.place(), server.service.place():
        for path in ("/v1/predict", "/v1/jobs"):
            answer = server.client.post(path, content=clip.read_bytes())
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1
            assert "try again" in answer.json()["error"]
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
    assert server.leftovers == []


def test_frames_of_several_requests_share_batches(started, clip, monkeypatch):
    """24 frames each fill one batch of 16 and half of another; four videos together need six batches, alone they need eight."""
    monkeypatch.setattr("gerund.serving.analyst.LINGER", 60.0)
    server = started(queue=8)
    (pid,) = server.stop_workers()
    jobs = [server.client.post("/v1/jobs", content=clip.read_bytes()).json()["id"] for _ in range(4)]
    os.kill(pid, signal.SIGCONT)
    for job in jobs:
        server.wait_for(job, "done")
    together = server.service.analyst.engine.batches
    for _ in range(4):
        server.wait_for(server.client.post("/v1/jobs", content=clip.read_bytes()).json()["id"], "done")
    assert (together, server.service.analyst.engine.batches - together) == (6, 8)


def test_the_model_says_what_it_knows_and_takes(server):
    values = server.client.get("/v1/model").json()
    assert values["labels"] == LABELS
    assert values["name"] == "run"
    assert values["limits"] == {"upload": 512 * 10**6, "duration": 7200.0}


def test_health_and_metrics(server, clip):
    server.client.post("/v1/predict", content=clip.read_bytes())
    server.client.post("/v1/predict", content=b"no video")
    assert server.client.get("/healthz").text == "ok\n"
    assert server.client.get("/readyz").text == "ok\n"
    lines = server.client.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values['gerund_requests_total{route="/v1/predict",method="POST",status="200"}'] == "1"
    assert values['gerund_requests_total{route="/v1/predict",method="POST",status="422"}'] == "1"
    assert values['gerund_request_seconds_count{route="/v1/predict"}'] == "2"
    assert values["gerund_queue_length"] == "0"
    assert float(values["gerund_decode_seconds_total"]) > 0
    assert float(values["gerund_backbone_seconds_total"]) > 0
    assert {line.split()[2] for line in lines if line.startswith("# TYPE")} == {
        name.split("{")[0].removesuffix("_sum").removesuffix("_count").removesuffix("_bucket") for name in values
    }


def test_a_server_that_shuts_down_takes_nothing_more(server, clip):
    server.service.closing = True
    assert server.client.get("/readyz").status_code == 503
    assert server.client.get("/healthz").status_code == 200
    assert server.client.post("/v1/predict", content=clip.read_bytes()).status_code == 503


def test_shutting_down_finishes_the_jobs_in_hand(started, clip):
    server = started()
    seen = []
    run = server.service.run

    async def watched(job):
        await run(job)
        seen.append(job.state)

    server.service.run = watched
    server.client.post("/v1/jobs", content=clip.read_bytes())
    server.client.__exit__(None, None, None)
    assert seen == ["done"]
    assert server.leftovers == []


def test_the_description_lists_every_route_and_works_without_the_outside(server):
    described = server.client.get("/openapi.json").json()
    assert set(described["paths"]) >= {
        "/v1/predict",
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/events",
        "/v1/model",
        "/metrics",
    }
    assert "octet-stream" in str(described["paths"]["/v1/predict"]["post"]["requestBody"])
    assert server.client.get("/docs").status_code == 404


def test_the_page_and_its_parts_are_there(server):
    page = server.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert server.client.get("/static/nothing.js").status_code == 404
    assert server.client.get("/static/../app.py").status_code == 404


def test_the_same_bytes_twice_are_two_uploads(server, clip, tmp_path):
    shutil.copy(clip, tmp_path / "b.mp4")
    answers = [server.client.post("/v1/predict", content=clip.read_bytes()).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert server.leftovers == []
