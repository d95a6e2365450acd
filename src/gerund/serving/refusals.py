"""What a request that is not taken is told: the answers to errors, and how the API's description lists them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gerund.core.errors import VideoError
from gerund.serving.analyst import EndedError
from gerund.serving.limits import NoRoomError
from gerund.serving.schemas import Error, PredictionAnswer
from gerund.serving.service import RefusedError

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
UNREADABLE_VIDEO: dict[int | str, dict[str, Any]] = {
    422: {"model": PredictionAnswer | Error, "description": "Not readable as video; `error` says why."}
}


def request_refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    headers = {"retry-after": str(error.wait)} if error.wait is not None else None
    return JSONResponse({"error": error.reason}, error.status, headers)


def video_unreadable(_: Request, error: Exception) -> JSONResponse:
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


def server_failed(_: Request, error: Exception) -> JSONResponse:
    logging.getLogger("gerund.serving").error("a request failed", exc_info=error)
    return JSONResponse({"error": "the server failed; its log says how"}, 500)


HANDLERS: dict[Any, Callable[[Request, Exception], Response]] = {
    RefusedError: request_refused,
    VideoError: video_unreadable,
    EndedError: ended,
    NoRoomError: no_room,
    HTTPException: http_error,
    RequestValidationError: invalid,
    ClientDisconnect: client_gone,
    Exception: server_failed,
}
