"""The application of a studio: labels, videos, review and figures over HTTP; each route is one call to the desk."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles

from gerund.core.errors import DataError
from gerund.core.types import Segment
from gerund.labelling import answers, edits
from gerund.labelling.clips import say_of_clips, sort_clips
from gerund.labelling.desk import Studio
from gerund.labelling.figures import figures
from gerund.labelling.footage import path_of_video
from gerund.labelling.journal import Edit
from gerund.labelling.practice import write_practice
from gerund.labelling.project import ConflictError, Operation
from gerund.labelling.results import add_imports, add_results
from gerund.labelling.review import candidates_of, questions
from gerund.labelling.schemas import (
    Acceptance,
    Asked,
    ChangedBout,
    ChangedLabel,
    EditAnswer,
    JoinWith,
    KindOfVideos,
    NewBout,
    NewLabel,
    OneVideoAnswer,
    Paused,
    ProjectAnswer,
    QuestionAnswer,
    Rejection,
    SomeBout,
    SortedClips,
    SplitAt,
)
from gerund.serving.app import STATIC as SHARED
from gerund.serving.app import add_session, application
from gerund.serving.metrics import Metrics
from gerund.serving.refusals import HANDLERS, REFUSALS
from gerund.serving.schemas import Error
from gerund.serving.security import Guard

PAGE = Path(__file__).parent / "static"
REFUSED: dict[int | str, dict[str, Any]] = {
    400: REFUSALS[400],
    404: {"model": Error, "description": "Not there (any more)."},
    409: {"model": Error, "description": "Changed by somebody else since it was seen."},
}
BODIES = {"/v1/project/imports": 64 * 10**6, "/v1/project/clips": 8 * 10**6}
"""Bytes of a body, where more is sent than a few names."""
KEEP_ALIVE, LOOK_UP = 15.0, 0.5
"""Seconds after which an idle stream of events says that it is alive, and after which it looks whether the studio is ended."""


def build_studio(desk: Studio, *, token: str | None = None, hosts: frozenset[str] | None = None) -> Guard:
    """The application, ready for a server; the desk is started and ended with it."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        desk.start()
        yield
        await desk.served.end()
        await asyncio.to_thread(desk.end)

    handlers = {**HANDLERS, DataError: unusable, edits.NotThereError: not_there, ConflictError: conflict}
    app = application("gerund studio", "Labels of a project, and the model that learns from them.", lifespan, handlers)
    guard = Guard(app, Metrics(), token=token, hosts=hosts, bodies=BODIES)
    add_project(app, desk)
    add_videos(app, desk)
    add_bouts(app, desk)
    add_labels(app, desk)
    add_review(app, desk)
    add_results(app, desk)
    add_imports(app, desk)
    add_session(app, guard)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/static/studio", StaticFiles(directory=PAGE), name="studio")
    app.mount("/static", StaticFiles(directory=SHARED), name="static")
    return guard


def unusable(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 400)


def not_there(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 404)


def conflict(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 409)


async def edited(desk: Studio, operation: Operation, asked: Asked) -> dict[str, Any]:
    """Make an edit, on the disk before it is answered."""
    edit = await asyncio.to_thread(desk.perform, operation, token=asked.token, seen=asked.seen)
    return desk.edit_values(edit)


def add_project(app: FastAPI, desk: Studio) -> None:
    @app.get("/v1/project", response_model=ProjectAnswer, summary="Labels, videos, and how far everything is")
    async def project() -> Any:
        return answers.project_values(desk)

    @app.post("/v1/project/kind", status_code=204, summary="Say whether these are clips to sort, or films to label on a timeline")
    async def kind(asked: KindOfVideos) -> None:
        await asyncio.to_thread(say_of_clips, desk.project, asked.clips)
        desk.learner.wake.set()
        desk.bell.ring({"kind": "video", "video": ""})

    async def stepped(asked: Asked, *, back: bool) -> Any:
        edit: Edit | None = await asyncio.to_thread(desk.step, back=back, token=asked.token)
        if edit is None:
            raise DataError(f"there is nothing to {'undo' if back else 'do again'}")
        return desk.edit_values(edit)

    @app.post("/v1/project/undo", response_model=EditAnswer, responses=REFUSED, summary="Take the last edit back")
    async def undo(asked: Asked) -> Any:
        return await stepped(asked, back=True)

    @app.post("/v1/project/redo", response_model=EditAnswer, responses=REFUSED, summary="Make again what was undone last")
    async def redo(asked: Asked) -> Any:
        return await stepped(asked, back=False)

    @app.get(
        "/v1/project/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}, "description": "An event per change."}},
        summary="Follow the project (server-sent events)",
    )
    async def events() -> StreamingResponse:
        return StreamingResponse(event_stream(desk), media_type="text/event-stream")

    @app.post(
        "/v1/project/practice", status_code=204, responses=REFUSED, summary="Write films of synthetic actions to practise on"
    )
    async def practice() -> None:
        await asyncio.to_thread(write_practice, desk.folder, lambda path: desk.library.add([path]))

    @app.post("/v1/project/look", status_code=204, summary="Look for videos that were put into the folder meanwhile")
    async def look() -> None:
        await asyncio.to_thread(desk.library.look)


async def event_stream(desk: Studio) -> AsyncIterator[str]:
    yield ": hello\n\n"
    messages = aiter(desk.bell.listen())
    upcoming = asyncio.ensure_future(anext(messages))
    silent = 0.0
    try:
        while not desk.bell.is_over:
            done, _ = await asyncio.wait({upcoming}, timeout=LOOK_UP)
            silent = 0.0 if done else silent + LOOK_UP
            if silent >= KEEP_ALIVE:
                silent = 0.0
                yield ": still here\n\n"
            if not done:
                continue
            yield f"data: {json.dumps(upcoming.result())}\n\n"
            upcoming = asyncio.ensure_future(anext(messages))
    finally:
        upcoming.cancel()


def add_videos(app: FastAPI, desk: Studio) -> None:
    def path(name: str) -> Path:
        edits.video_named(desk.project.state, name)
        return path_of_video(desk.project, name)

    @app.get(
        "/v1/project/videos/{name}", response_model=OneVideoAnswer, responses=REFUSED, summary="A video's bouts and segments"
    )
    async def video(name: str, bouts: bool = True) -> Any:
        edits.video_named(desk.project.state, name)
        return await asyncio.to_thread(answers.video_values, desk, name, with_bouts=bouts)

    @app.post("/v1/project/videos/{name}/open", status_code=204, responses=REFUSED, summary="Let a video's features come first")
    async def opened(name: str) -> None:
        edits.video_named(desk.project.state, name)
        desk.library.open(name)
        desk.learner.wake.set()

    @app.get(
        "/v1/project/videos/{name}/media", response_class=FileResponse, responses=REFUSED, summary="The file itself, by ranges"
    )
    async def media(name: str) -> FileResponse:
        return FileResponse(path(name))

    @app.get(
        "/v1/project/videos/{name}/copy.mp4",
        response_class=FileResponse,
        responses={**REFUSED, 507: REFUSALS[507]},
        summary="A small copy that every browser plays, made when it is first asked for",
    )
    async def copy(name: str) -> FileResponse:
        path(name)
        return FileResponse(await desk.make_copy(name), media_type="video/mp4")

    @app.get("/v1/project/videos/{name}/picture", response_class=Response, responses=REFUSED, summary="A small picture, as JPEG")
    async def picture(name: str, at: Annotated[float, Query(ge=0, le=1e7)] = 0.0) -> Response:
        found = await asyncio.to_thread(desk.looker.picture, path(name), at)
        return Response(found, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    @app.post("/v1/project/features", status_code=204, summary="Stop making features, or go on")
    async def features(asked: Paused) -> None:
        desk.pause(paused=asked.paused)
        desk.bell.ring({"kind": "video", "video": ""})


def add_bouts(app: FastAPI, desk: Studio) -> None:
    by = desk.project.by
    route: dict[str, Any] = {"response_model": EditAnswer, "responses": REFUSED}

    @app.get("/v1/project/bouts", response_model=list[SomeBout], summary="Bouts by their names, wherever they are")
    async def some(name: Annotated[list[str], Query(max_length=200)]) -> Any:
        return answers.bouts_values(desk.project.state, name)

    @app.post("/v1/project/bouts", **route, summary="Label a span; what was there gives way")
    async def add(asked: NewBout) -> Any:
        operation = edits.add_bout(asked.video, asked.label, asked.start, asked.end, by=by, subject=asked.subject)
        return await edited(desk, operation, asked)

    @app.post("/v1/project/clips", **route, summary="Label whole videos, many as one edit")
    async def sort(asked: SortedClips) -> Any:
        return await edited(desk, sort_clips(asked.labels, by=by), asked)

    @app.patch("/v1/project/bouts/{name}", **route, summary="Move a bout's borders, or give it another label or subject")
    async def change(name: str, asked: ChangedBout) -> Any:
        values = asked.model_dump(exclude={"token", "seen"}, exclude_none=True)
        return await edited(desk, edits.change_bout(name, by=by, **values), asked)

    @app.post("/v1/project/bouts/{name}/removal", **route, summary="Remove a bout")
    async def remove(name: str, asked: Asked) -> Any:
        return await edited(desk, edits.remove_bout(name), asked)

    @app.post("/v1/project/bouts/{name}/parts", **route, summary="Part a bout in two")
    async def split(name: str, asked: SplitAt) -> Any:
        return await edited(desk, edits.split_bout(name, asked.at), asked)

    @app.post("/v1/project/bouts/{name}/union", **route, summary="Make one bout of two")
    async def join(name: str, asked: JoinWith) -> Any:
        return await edited(desk, edits.merge_bouts(name, asked.other, by=by), asked)


def add_labels(app: FastAPI, desk: Studio) -> None:
    route: dict[str, Any] = {"response_model": EditAnswer, "responses": REFUSED}

    @app.post("/v1/project/labels", **route, summary="Make a label; `background` is time in which nothing happens")
    async def add(asked: NewLabel) -> Any:
        return await edited(desk, edits.add_label(asked.text), asked)

    @app.patch("/v1/project/labels/{name}", **route, summary="Rename a label, join it with another one, or give it a digit")
    async def change(name: str, asked: ChangedLabel) -> Any:
        if (asked.text is None) == (asked.key is None):
            raise DataError("either a text or a key is needed")
        operation: Callable[..., Any] = edits.rename_label if asked.text is not None else edits.give_key
        return await edited(desk, operation(name, asked.text if asked.text is not None else asked.key), asked)

    @app.post("/v1/project/labels/{name}/removal", **route, summary="Remove a label with all its bouts")
    async def remove(name: str, asked: Asked) -> Any:
        return await edited(desk, edits.remove_label(name), asked)


def add_review(app: FastAPI, desk: Studio) -> None:
    route: dict[str, Any] = {"response_model": EditAnswer, "responses": REFUSED}

    @app.get("/v1/project/review", response_model=list[QuestionAnswer], summary="What to ask next, the most useful first")
    async def review(count: Annotated[int, Query(ge=1, le=200)] = 20) -> Any:
        found = await asyncio.to_thread(questions, desk.learner, desk.project.state, count)
        return [each.values() for each in found]

    @app.get(
        "/v1/project/candidates",
        response_model=list[QuestionAnswer],
        responses=REFUSED,
        summary="All segments of a label that nobody has judged, the surest last",
    )
    async def candidates(label: Annotated[str, Query(max_length=40)]) -> Any:
        edits.label_named(desk.project.state, label)
        found = await asyncio.to_thread(candidates_of, desk.learner, desk.project.state, label)
        return [each.values() for each in found]

    @app.post("/v1/project/rejections", **route, summary="Say that a suggested label is wrong there")
    async def reject(asked: Rejection) -> Any:
        operation = edits.reject(asked.video, asked.label, asked.start, asked.end, by=desk.project.by)
        return await edited(desk, operation, asked)

    @app.post("/v1/project/acceptances", **route, summary="Accept all segments of a label that the model is sure enough of")
    async def accept(asked: Acceptance) -> Any:
        text = edits.label_named(desk.project.state, asked.label).text
        wanted = [
            (each.video, Segment(start=each.start, end=each.end, label=text, score=each.score))
            for each in await asyncio.to_thread(candidates_of, desk.learner, desk.project.state, asked.label)
            if each.score >= asked.score and asked.video in (None, each.video)
        ]
        return await edited(desk, edits.accept_all(wanted, by=desk.project.by), asked)

    @app.get(
        "/v1/project/figures", summary="How good the model is so far, bouts judged by a readout that has not seen their video"
    )
    async def told() -> Any:
        return await asyncio.to_thread(figures, desk.learner.readout, desk.project.state)

    @app.get("/v1/project/figures/timelines", summary="F1@50 by label, of time that the readout has not seen (a second or more)")
    async def timelines() -> Any:
        return await asyncio.to_thread(desk.judged_timelines)
