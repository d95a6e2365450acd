"""The routes of jobs: long videos, analysed over time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse

from gerund.core.errors import DataError
from gerund.core.types import Timeline
from gerund.serving import drawing
from gerund.serving.refusals import NO_JOB, REFUSALS
from gerund.serving.requests import BODY, Name, received, shown_name, while_connected
from gerund.serving.schemas import Error, JobAnswer
from gerund.serving.service import RefusedError, Service, VideoJob
from gerund.timelines.formats import boris, csv_text, elan, srt, vtt

TEXTS = {"srt": srt, "vtt": vtt, "csv": csv_text, "eaf": elan, "tsv": boris}
MEDIA_TYPES = {"eaf": "text/xml", "tsv": "text/tab-separated-values"}
"""What a text is called, where that is not text/ and its suffix."""


def add_jobs(app: FastAPI, service: Service) -> None:
    """Start a job, look at it, follow it, end it."""

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
        return job_values(service, find_job(service, job_id))

    @app.delete("/v1/jobs/{job_id}", status_code=204, responses=NO_JOB, summary="End a job and delete all that is left of it")
    async def remove(job_id: str) -> None:
        await service.remove(find_job(service, job_id))

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
        return StreamingResponse(event_lines(service, find_job(service, job_id)), media_type="text/event-stream")


def add_job_files(app: FastAPI, service: Service) -> None:
    """What can be had of a job that is done."""

    @app.get(
        "/v1/jobs/{job_id}/timeline.{form}",
        response_class=PlainTextResponse,
        responses={**NO_JOB, 409: REFUSALS[400]},
        summary="The segments as subtitles, as a table, or for ELAN (eaf) and BORIS (tsv)",
    )
    async def text(job_id: str, form: Literal["srt", "vtt", "csv", "eaf", "tsv"]) -> PlainTextResponse:
        job = find_job(service, job_id)
        if job.timeline is None:
            raise RefusedError(409, "the job is not done")
        media = MEDIA_TYPES.get(form, f"text/{form}")
        return PlainTextResponse(text_of(job.timeline, form), media_type=f"{media}; charset=utf-8")

    @app.get(
        "/v1/jobs/{job_id}/{kind}.mp4",
        response_class=FileResponse,
        responses={**NO_JOB, 409: REFUSALS[400], 422: {"model": Error}, 507: REFUSALS[507]},
        summary="A preview any browser plays, or the video with its timeline drawn in",
    )
    async def film(job_id: str, kind: drawing.FilmKind, request: Request) -> FileResponse:
        job = find_job(service, job_id)
        if job.state != "done":
            raise RefusedError(409, "the job is not done")
        return FileResponse(await while_connected(request, service.film(job, kind)), media_type="video/mp4")


def text_of(timeline: Timeline, form: str) -> str:
    """A timeline as a file of some tool; the tools look for the video beside it, and learn nothing of this machine's folders."""
    if form in MEDIA_TYPES:
        timeline = replace(timeline, path=Path("/") / timeline.path.name)
    try:
        return TEXTS[form](timeline, timeline.path)
    except DataError as error:
        raise RefusedError(409, str(error)) from None


def find_job(service: Service, job_id: str) -> VideoJob:
    """Raises RefusedError when there is none."""
    job = service.jobs.get(job_id)
    if job is None:
        raise RefusedError(404, "no such job; it may have been removed, or its time may be over")
    return job


def job_values(service: Service, job: VideoJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "state": service.state(job),
        "progress": job.progress,
        "position": service.position(job),
        "error": job.error,
        "result": job.result,
    }


async def event_lines(service: Service, job: VideoJob) -> AsyncIterator[str]:
    async for change in service.watch(job):
        yield ":\n\n" if change is None else f"data: {json.dumps(job_values(service, job), ensure_ascii=False)}\n\n"
