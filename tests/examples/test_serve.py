"""The web service of examples/serve.py: results, limits and broken uploads."""

import io
import sys
import threading
import time
from pathlib import Path

import anyio
import numpy as np
import pytest
from damage import encoded, hostile_photos, noise
from PIL import Image

from facesegkit import FaceSegmenter
from facesegkit.course.lesson_data import course_file
from facesegkit.inference.visualize import render

pytest.importorskip("fastapi")
pytest.importorskip("python_multipart")
httpx = pytest.importorskip("httpx")

TOP = Path(__file__).parents[2]
MAX_SECONDS = 10
ASTRONAUT = course_file("figures/astronaut.jpg")


@pytest.fixture(scope="module")
def serve():
    sys.path.insert(0, str(TOP / "examples"))
    try:
        import serve

        yield serve
    finally:
        sys.path.remove(str(TOP / "examples"))


def post(serve, content, query="", *, together=1, **options):
    """Send a photo some times at once; returns the answers."""
    answers = []

    async def send(client):
        files = {"photo": ("a.jpg", content)}
        answers.append(await client.post(f"/segment{query}", files=files, **options))

    async def send_all():
        transport = httpx.ASGITransport(serve.app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://service") as client,
            anyio.create_task_group() as group,
        ):
            for _ in range(together):
                group.start_soon(send, client)

    anyio.run(send_all)
    return answers


def test_a_photo_gives_json_and_masks(serve):
    result = FaceSegmenter("separable-open")(Image.open(ASTRONAUT))
    content = ASTRONAUT.read_bytes()
    (answer,) = post(serve, content)
    assert answer.status_code == 200 and answer.json() == result.to_dict()
    for view in ("mask", "overlay"):
        (answer,) = post(serve, content, f"?view={view}")
        assert answer.headers["content-type"] == "image/png"
        image = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert (image == np.asarray(render(result, view))).all()
    assert post(serve, content, "?view=panel")[0].status_code == 422


@pytest.mark.parametrize("content", [b"", b"not a photo", encoded(noise(), "PNG")[:2000]])
def test_a_broken_upload_is_answered_in_one_sentence(serve, content):
    (answer,) = post(serve, content)
    assert answer.status_code == 422
    assert "Traceback" not in answer.text and len(answer.text) < 200


def test_an_upload_that_is_too_large_or_of_unknown_size_is_not_read(serve):
    (answer,) = post(serve, bytes(serve.MAX_BYTES))
    assert (answer.status_code, answer.text) == (413, "at most 20,000,000 bytes")
    (answer,) = post(serve, b"", headers={"content-length": "unknown"})
    assert answer.status_code == 411


def test_hostile_uploads_get_an_answer_in_one_sentence_or_a_result(serve):
    for name, content in hostile_photos().items():
        before = time.process_time()
        (answer,) = post(serve, content())
        assert answer.status_code in (200, 413, 422), name
        assert answer.status_code == 200 or answer.text.isprintable() and len(answer.text) < 300
        assert time.process_time() - before < MAX_SECONDS, name


def test_photos_wait_for_each_other_and_not_for_ever(serve, monkeypatch):
    running, most, release = [], [], threading.Event()

    def slow(photo):
        running.append(photo)
        most.append(len(running))
        release.wait(0.5)
        running.pop()
        return FaceSegmenter("separable-open")(photo)

    monkeypatch.setattr(serve, "segmenter", slow)
    monkeypatch.setattr(serve, "MAX_SECONDS", 0.1)
    answers = post(serve, ASTRONAUT.read_bytes(), together=4)
    assert [answer.status_code for answer in answers] == [503] * 4
    assert max(most) <= 2
