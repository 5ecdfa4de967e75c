"""A web service: POST a photo to /segment for JSON, or to /segment?view=mask for a PNG.

pip install facesegkit fastapi python-multipart uvicorn
uvicorn serve:app --app-dir examples
"""

import asyncio
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from fastapi import FastAPI, Request, Response, UploadFile

from facesegkit import FaceSegmenter
from facesegkit.errors import FaceSegKitError
from facesegkit.image_io import read_photo
from facesegkit.inference.visualize import render

MAX_BYTES, MAX_SECONDS = 20_000_000, 20
POOL = ThreadPoolExecutor(2)  # photos at once: the largest that are accepted take a gigabyte each
app, segmenter = FastAPI(), FaceSegmenter("separable-open")  # a model that is free for any use


@app.middleware("http")
async def limit_size(request: Request, call_next):
    if not request.headers.get("content-length", "").isdecimal():
        return Response("send a Content-Length", 411)
    if int(request.headers["content-length"]) > MAX_BYTES:
        return Response(f"at most {MAX_BYTES:,} bytes", 413)
    return await call_next(request)


@app.post("/segment")
async def segment(photo: UploadFile, view: Literal["json", "mask", "overlay"] = "json"):
    work = asyncio.get_running_loop().run_in_executor(POOL, segmented, await photo.read(), view)
    try:
        return await asyncio.wait_for(work, MAX_SECONDS)
    except asyncio.TimeoutError:
        return Response("the service is busy; try again later", 503)
    except FaceSegKitError as error:
        return Response(str(error), 422)


def segmented(content, view):
    result = segmenter(read_photo(io.BytesIO(content)))
    if view == "json":
        return Response(json.dumps(result.to_dict()), media_type="application/json")
    render(result, view).save(png := io.BytesIO(), "PNG")
    return Response(png.getvalue(), media_type="image/png")
