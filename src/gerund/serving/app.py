"""The routes: thin, each one call into the service."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import unquote

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import gerund
from gerund.core.errors import VideoError
from gerund.core.types import Prediction, Timeline
from gerund.serving import drawing, security
from gerund.serving.analyst import VIDEO, EndedError
from gerund.serving.limits import NoRoomError
from gerund.serving.metrics import Metrics
from gerund.serving.schemas import Error, JobAnswer, Login, ModelAnswer, PredictionAnswer
from gerund.serving.security import COOKIE, Guard
from gerund.serving.service import Job, RefusedError, Service
from gerund.timelines import formats as timeline_files
from gerund.video.draw import label_colours

STATIC = Path(__file__).parent / "static"
SILENCE = 30.0
"""Seconds without a byte after which an upload is given up."""
LONGEST_UPLOAD = 3600.0
"""Seconds that an upload may take at most."""
SHUTDOWN = 30.0
"""Seconds that jobs in hand have to end when the server shuts down."""
DISCARDED, DISCARD_SECONDS = 64 * 2**20, 5.0
"""How much of a refused upload is read and thrown away: a client that still sends does not look for its answer."""
LONGEST_NAME = 200

Answer = TypeVar("Answer")
Name = Annotated[str | None, Header(alias="X-Video-Name", description="The video's name, percent-encoded; answers repeat it.")]
BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of one video file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": why}
    for status, why in {
        400: "The body or a parameter cannot be used.",
        401: "A token is needed.",
        403: "Sent by another site.",
        408: "The upload stopped.",
        413: "The upload is too large.",
        415: "A form instead of the bytes.",
        421: "A host name this server does not answer to.",
        429: "Too many requests wait; Retry-After says when to try again.",
        503: "The server is shutting down.",
        507: "The disk is full.",
    }.items()
}
COMMON: dict[int | str, dict[str, Any]] = {status: REFUSALS[status] for status in (401, 403, 421)}
NO_JOB: dict[int | str, dict[str, Any]] = {404: {"model": Error, "description": "No such job, or its time is over."}}
UNREADABLE: dict[int | str, dict[str, Any]] = {
    422: {"model": PredictionAnswer | Error, "description": "Not readable as video; `error` says why."}
}


def build(service: Service, *, model: str, token: str | None = None, hosts: frozenset[str] | None = None) -> Guard:
    """The application, ready for a server; `model` is the name it shows. The service is closed when the application ends."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tidying = asyncio.create_task(service.tidy_forever())
        yield
        tidying.cancel()
        await service.finish(SHUTDOWN)
        await service.close()

    app = FastAPI(
        title="gerund",
        version=gerund.__version__,
        description="Names the action in a video.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=COMMON,
    )
    guard = Guard(app, Metrics(), token=token, hosts=hosts)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    add_analysis(app, service)
    add_jobs(app, service)
    add_operation(app, service, guard, model)
    add_page(app, guard)
    return guard


def add_analysis(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/predict",
        response_model=PredictionAnswer,
        responses={**REFUSALS, **UNREADABLE},
        openapi_extra=BODY,
        summary="Name the action in a video",
    )
    async def predict(request: Request, top_k: Annotated[int, Query(ge=1, le=10_000)] = 5, name: Name = None) -> Any:
        """The answer for the video in the body, the same that `gerund predict --json` prints."""
        shown = shown_name(name)
        async with received(request, service) as folder:
            try:
                prediction = await while_connected(request, service.predict(folder, shown))
            except VideoError as error:
                prediction = Prediction(path=Path(shown), error=f"{shown}: {error}")
        values = prediction.values(top_k)
        return JSONResponse(values, 422) if prediction.error else values


def add_jobs(app: FastAPI, service: Service) -> None:
    def find(job_id: str) -> Job:
        job = service.jobs.get(job_id)
        if job is None:
            raise RefusedError(404, "no such job; it may have been removed, or its time may be over")
        return job

    @app.post(
        "/v1/jobs",
        response_model=JobAnswer,
        status_code=202,
        responses=REFUSALS,
        openapi_extra=BODY,
        summary="Analyse a long video",
    )
    async def start(request: Request, response: Response, name: Name = None) -> Any:
        """Take the video in the body, answer at once, and analyse it over time: segments, steps and their weights."""
        shown = shown_name(name)
        async with received(request, service, keep=True) as folder:
            job = service.start(folder, shown)
        response.headers["location"] = f"/v1/jobs/{job.id}"
        return job_values(service, job)

    @app.get("/v1/jobs/{job_id}", response_model=JobAnswer, responses=NO_JOB, summary="How far a job is, and its result")
    async def job(job_id: str) -> Any:
        return job_values(service, find(job_id))

    @app.delete("/v1/jobs/{job_id}", status_code=204, responses=NO_JOB, summary="End a job and delete all that is left of it")
    async def remove(job_id: str) -> None:
        await service.remove(find(job_id))

    @app.get(
        "/v1/jobs/{job_id}/events",
        response_class=StreamingResponse,
        responses={
            **NO_JOB,
            200: {"content": {"text/event-stream": {}}, "description": "One event per change; the last one has the result."},
        },
        summary="Follow a job (server-sent events)",
    )
    async def events(job_id: str) -> StreamingResponse:
        return StreamingResponse(event_lines(service, find(job_id)), media_type="text/event-stream")

    @app.get(
        "/v1/jobs/{job_id}/timeline.{form}",
        response_class=PlainTextResponse,
        responses={**NO_JOB, 409: REFUSALS[400]},
        summary="The segments as subtitles, or as a table",
    )
    async def text(job_id: str, form: Literal["srt", "vtt", "csv"]) -> PlainTextResponse:
        job = find(job_id)
        if job.timeline is None:
            raise RefusedError(409, "the job is not done")
        return PlainTextResponse(TEXTS[form](job.timeline, job.timeline.path), media_type=f"text/{form}; charset=utf-8")

    @app.get(
        "/v1/jobs/{job_id}/{kind}.mp4",
        response_class=FileResponse,
        responses={**NO_JOB, 409: REFUSALS[400], 422: {"model": Error}, 507: REFUSALS[507]},
        summary="A preview any browser plays, or the video with its timeline drawn in",
    )
    async def film(job_id: str, kind: drawing.Kind, request: Request) -> FileResponse:
        job = find(job_id)
        if job.state != "done":
            raise RefusedError(409, "the job is not done")
        return FileResponse(await while_connected(request, service.film(job, kind)), media_type="video/mp4")


def add_operation(app: FastAPI, service: Service, guard: Guard, model: str) -> None:
    recognizer = service.recognizer

    @app.get("/v1/model", response_model=ModelAnswer, summary="What the model knows, and what may be sent")
    async def describe() -> Any:
        return {
            "name": model,
            "version": gerund.__version__,
            "labels": recognizer.labels,
            "colours": list(label_colours(recognizer.labels).values()),
            "backbone": recognizer.backbone.name,
            "head": recognizer.head_name,
            "fps": recognizer.extractor.spec.fps,
            "num_frames": recognizer.sampling.num_frames,
            "window": service.windows.window,
            "limits": {"upload": service.limits.upload, "duration": service.limits.duration},
        }

    @app.get("/healthz", response_class=PlainTextResponse, summary="Whether the process answers")
    async def healthz() -> str:
        return "ok\n"

    @app.get("/readyz", response_class=PlainTextResponse, responses={503: REFUSALS[503]}, summary="Whether requests are taken")
    async def readyz() -> str:
        if not service.ready:
            raise RefusedError(503, "not taking requests")
        return "ok\n"

    @app.get("/metrics", response_class=PlainTextResponse, summary="Counts for Prometheus")
    async def metrics() -> PlainTextResponse:
        analyst = service.analyst
        values = {
            "gerund_queue_length": ("gauge", "Videos that wait for a decoder.", len(analyst.waiting)),
            "gerund_places_taken": ("gauge", "Requests and jobs that wait or run.", service.taken),
            "gerund_uploads": ("gauge", "Bodies on their way.", len(service.uploads)),
            "gerund_places": ("gauge", "How many there may be before others are turned away.", service.places),
            "gerund_jobs": ("gauge", "Jobs that are kept.", len(service.jobs)),
            "gerund_decode_seconds_total": ("counter", "Seconds that decoders had a video in hand.", analyst.decode_seconds),
            "gerund_backbone_seconds_total": ("counter", "Seconds of all batches in the backbone.", analyst.engine.seconds),
            "gerund_backbone_batches_total": ("counter", "Batches the backbone has seen.", analyst.engine.batches),
        }
        return PlainTextResponse(guard.metrics.text(values), media_type="text/plain; version=0.0.4")


def add_page(app: FastAPI, guard: Guard) -> None:
    @app.post(
        "/v1/session",
        status_code=204,
        responses={status: REFUSALS[status] for status in (400, 401, 408, 413)},
        summary="Exchange the token for a cookie",
    )
    async def session(login: Login, request: Request, response: Response) -> None:
        if not guard.is_token(login.token):
            await asyncio.sleep(security.PAUSE)
            raise RefusedError(401, "this is not the token")
        response.set_cookie(COOKIE, guard.session, httponly=True, samesite="strict", secure=security.over_tls(request.headers))

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")


@contextlib.asynccontextmanager
async def received(request: Request, service: Service, *, keep: bool = False) -> AsyncIterator[Path]:
    """A new folder with the body's bytes in it, gone when the block ends; with `keep` only if it fails.

    A place is taken when the body is there: one that trickles takes none from others.
    """
    try:
        service.admit()
        folder = service.folder()
        try:
            await receive(request, folder / VIDEO, service)
            with service.place():
                yield folder
        except BaseException:
            keep = False
            raise
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
    except RefusedError:
        await discard(request)
        raise


async def receive(request: Request, target: Path, service: Service) -> None:
    """Write the body to a file as it comes. Raises RefusedError as soon as it is too large, too slow, or no video bytes."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise RefusedError(415, "send the bytes of the file themselves, not a form: curl --data-binary @video.mp4 URL")
    service.check_size(int(request.headers.get("content-length") or 0))
    stream = request.stream()
    try:
        async with asyncio.timeout(LONGEST_UPLOAD) as deadline:
            with service.upload(deadline) as upload, target.open("wb") as file:
                while True:
                    async with asyncio.timeout(SILENCE):
                        chunk = await anext(stream, None)
                    if chunk is None:
                        break
                    service.grow(upload, len(chunk))
                    file.write(chunk)
    except TimeoutError:
        raise RefusedError(
            408,
            f"not a byte came for {SILENCE:g} s, the upload took longer than {LONGEST_UPLOAD:g} s, or it was the slowest of too many",
        ) from None
    except OSError as error:
        raise RefusedError(507, f"the upload cannot be stored ({error.strerror})") from None
    if not upload.size:
        raise RefusedError(400, "the body is empty; send the bytes of a video file")


async def discard(request: Request) -> None:
    """Read some more of a body that is refused."""
    left = DISCARDED
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: it was read to its end
        async with asyncio.timeout(DISCARD_SECONDS):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return


async def while_connected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Do the work unless the client goes away; then it is cancelled."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await working


async def gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def shown_name(name: str | None) -> str:
    """A name as text: it is shown, and never part of a path."""
    text = unquote(name or "", errors="replace").replace("\\", "/").rpartition("/")[2]
    text = "".join(letter for letter in text if letter.isprintable()).strip()
    return text[:LONGEST_NAME] or "video"


def job_values(service: Service, job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "state": service.state(job),
        "progress": job.progress,
        "position": service.position(job),
        "error": job.error,
        "result": job.result,
    }


def csv_text(timeline: Timeline, _: Path) -> str:
    """The columns of `gerund timeline --csv`."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["path", "start", "end", "label", "score", "error"])
    for each in timeline.segments:
        writer.writerow([timeline.path, f"{each.start:.3f}", f"{each.end:.3f}", each.label, f"{each.score:.6f}", ""])
    return table.getvalue()


TEXTS = {"srt": timeline_files.srt, "vtt": timeline_files.vtt, "csv": csv_text}


async def event_lines(service: Service, job: Job) -> AsyncIterator[str]:
    async for change in service.watch(job):
        yield ":\n\n" if change is None else f"data: {json.dumps(job_values(service, job), ensure_ascii=False)}\n\n"


def refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    headers = {"retry-after": str(error.wait)} if error.wait is not None else None
    return JSONResponse({"error": error.reason}, error.status, headers)


def unreadable(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 422)


def ended(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 503)


def no_room(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 507)


def http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


def invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors())
    return JSONResponse({"error": wrong}, 400)


def client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


def failed(_: Request, error: Exception) -> JSONResponse:
    logging.getLogger("gerund.serving").error("a request failed", exc_info=error)
    return JSONResponse({"error": "the server failed; its log says how"}, 500)


HANDLERS: dict[Any, Callable[[Request, Exception], Response]] = {
    RefusedError: refused,
    VideoError: unreadable,
    EndedError: ended,
    NoRoomError: no_room,
    HTTPException: http_error,
    RequestValidationError: invalid,
    ClientDisconnect: client_gone,
    Exception: failed,
}
