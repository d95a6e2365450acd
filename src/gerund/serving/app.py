"""The application: the model's routes, the page and what a load balancer asks; each route is one call into the service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

import gerund
from gerund.core.errors import VideoError
from gerund.core.types import Prediction
from gerund.serving import security
from gerund.serving.jobs import add_job_files, add_jobs
from gerund.serving.metrics import Metrics
from gerund.serving.refusals import COMMON, HANDLERS, REFUSALS, UNREADABLE_VIDEO
from gerund.serving.requests import BODY, Name, received, shown_name, while_connected
from gerund.serving.schemas import Login, ModelAnswer, PredictionAnswer
from gerund.serving.security import COOKIE, Guard
from gerund.serving.service import RefusedError, Service
from gerund.video.draw import label_colours

STATIC = Path(__file__).parent / "static"
SHUTDOWN = 30.0
"""Seconds that jobs in hand have to end when the server shuts down."""


def application(title: str, description: str, lifespan: Any, handlers: Mapping[type[Exception], Any]) -> FastAPI:
    """An application without routes, which answers each kind of error as its handler says."""
    app = FastAPI(
        title=title,
        version=gerund.__version__,
        description=description,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=COMMON,
    )
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    return app


def build(service: Service, *, model: str, token: str | None = None, hosts: frozenset[str] | None = None) -> Guard:
    """The application, ready for a server; `model` is the name it shows. The service is closed when the application ends."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tidying = asyncio.create_task(service.tidy_forever())
        yield
        tidying.cancel()
        await service.finish(SHUTDOWN)
        await service.close()

    app = application("gerund", "Names the action in a video.", lifespan, HANDLERS)
    guard = Guard(app, Metrics(), token=token, hosts=hosts)
    add_analysis(app, service)
    add_jobs(app, service)
    add_job_files(app, service)
    add_operation(app, service, guard, model)
    add_session(app, guard)
    add_page(app)
    return guard


def add_analysis(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/predict",
        response_model=PredictionAnswer,
        responses={**REFUSALS, **UNREADABLE_VIDEO},
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


def add_session(app: FastAPI, guard: Guard) -> None:
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


def add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
