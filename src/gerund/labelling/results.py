"""Routes for what goes in and out as files: labels of others, exports, numbers, the model and its server."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

from gerund.core.errors import DataError
from gerund.labelling.desk import Studio
from gerund.labelling.exports import FILE_FORMATS, Whose, counted, exported, model_csv
from gerund.labelling.imports import import_file
from gerund.labelling.project import LABELS_FILE
from gerund.labelling.schemas import EditAnswer, ModelSaved, ModelServed, Serving

FileName = Annotated[str, Query(min_length=1, max_length=200)]
STATS_TYPES = {"csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8", "png": "image/png"}


def attached(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}


def add_results(app: FastAPI, desk: Studio) -> None:
    @app.post("/v1/project/model", response_model=ModelSaved, summary="Save the model now")
    async def model() -> Any:
        folder = await asyncio.to_thread(desk.keep_model)
        return {"folder": None if folder is None else str(folder), "error": desk.model_error}

    @app.post("/v1/project/serving", response_model=ModelServed, summary="Serve the model on this machine, or end that")
    async def serve(asked: Serving) -> Any:
        if not asked.on:
            await desk.served.end()
            return {"address": ""}
        folder = await asyncio.to_thread(desk.keep_model)
        if folder is None:
            raise DataError(desk.model_error or "the model has learned nothing yet: two labels need a bout each")
        return {"address": await desk.served.start(folder)}

    @app.get("/v1/project/labels.csv", response_class=FileResponse, summary="All labels, as every command reads them")
    async def labels() -> FileResponse:
        await asyncio.to_thread(desk.project.write_csv)
        return FileResponse(desk.project.folder / LABELS_FILE, media_type="text/csv", filename=LABELS_FILE)

    @app.get("/v1/project/timelines.csv", response_class=PlainTextResponse, summary="The model's segments in all videos")
    async def timelines() -> PlainTextResponse:
        return PlainTextResponse(model_csv(desk), media_type="text/csv; charset=utf-8", headers=attached("timelines.csv"))

    @app.get(
        "/v1/project/export.zip",
        response_class=Response,
        summary=f"Labels, or the model's bouts, as files of another tool: {', '.join(FILE_FORMATS)}",
    )
    async def export(form: Annotated[str, Query(max_length=40)], whose: Whose = "yours") -> Response:
        return Response(await exported(desk, whose, form), media_type="application/zip", headers=attached(f"{form}.zip"))

    @app.get(
        "/v1/project/stats.{form}",
        response_class=Response,
        summary="How often, how long, when first: a table, a page, or the ethogram of all videos",
    )
    async def stats(form: Literal["csv", "html", "png"], whose: Whose = "yours") -> Response:
        name = "ethogram.png" if form == "png" else f"stats.{form}"
        return Response(await counted(desk, whose, form), media_type=STATS_TYPES[form], headers=attached(name))


def add_imports(app: FastAPI, desk: Studio) -> None:
    @app.post(
        "/v1/project/imports",
        response_model=EditAnswer,
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
        },
        summary="Take labels in from a file of another tool, as theirs",
    )
    async def take_in(
        request: Request,
        name: FileName,
        by: Annotated[str, Query(max_length=100)] = "",
        form: Annotated[str, Query(max_length=40)] = "",
    ) -> Any:
        data = await request.body()
        operation = await asyncio.to_thread(import_file, desk.project, name, data, by=by or name, kind=form)
        edit = await asyncio.to_thread(desk.perform, operation, token="", seen=None)
        return desk.edit_values(edit)
