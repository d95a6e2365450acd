"""What a request brings: the bytes of a video, its name, and a sender that may go away."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

from fastapi import Header
from starlette.requests import ClientDisconnect, Request

from gerund.serving.analyst import VIDEO
from gerund.serving.service import RefusedError, Service

UPLOAD_SILENCE = 30.0
"""Seconds without a byte after which an upload is given up."""
LONGEST_UPLOAD = 3600.0
"""Seconds that an upload may take at most."""
DISCARDED, DISCARD_SECONDS = 64 * 2**20, 5.0
"""How much of a refused upload is read and thrown away: a client that still sends does not look for its answer."""
LONGEST_NAME = 200

Reply = TypeVar("Reply")
Name = Annotated[str | None, Header(alias="X-Video-Name", description="The video's name, percent-encoded; answers repeat it.")]
BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of one video file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@contextlib.asynccontextmanager
async def received(request: Request, service: Service, *, keep: bool = False) -> AsyncIterator[Path]:
    """A new folder with the body's bytes in it, gone when the block ends; with `keep` only if it fails.

    A place is taken when the body is there: one that trickles takes none from others.
    """
    try:
        service.admit()
        folder = service.folder()
        try:
            await write_body(request, folder / VIDEO, service)
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


async def write_body(request: Request, target: Path, service: Service) -> None:
    """Write the body to a file as it comes. Raises RefusedError as soon as it is too large, too slow, or no video bytes."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise RefusedError(415, "send the bytes of the file themselves, not a form: curl --data-binary @video.mp4 URL")
    service.check_size(int(request.headers.get("content-length") or 0))
    stream = request.stream()
    try:
        async with asyncio.timeout(LONGEST_UPLOAD) as deadline:
            with service.upload(deadline) as upload, target.open("wb") as file:
                while True:
                    async with asyncio.timeout(UPLOAD_SILENCE):
                        chunk = await anext(stream, None)
                    if chunk is None:
                        break
                    service.grow(upload, len(chunk))
                    file.write(chunk)
    except TimeoutError:
        raise RefusedError(
            408,
            f"not a byte came for {UPLOAD_SILENCE:g} s, the upload took longer than {LONGEST_UPLOAD:g} s, or it was the slowest of too many",
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


async def while_connected(request: Request, work: Coroutine[Any, Any, Reply]) -> Reply:
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
