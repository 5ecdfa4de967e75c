"""The name and the instructions of a processor, from the files of other machines."""

import pytest

from facesegkit.course.processor import this_processor

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) CPU E5-2690 v3
flags\t\t: fpu sse2 avx avx2 fma

processor\t: 1
model name\t: another core
flags\t\t: fpu avx512_vnni
"""


@pytest.mark.parametrize(
    ("text", "name", "answer"),
    [
        (XEON, "Intel(R) Xeon(R) CPU E5-2690 v3", "no"),
        ("model name : i7\nflags : avx2 avx_vnni\n", "i7", "yes"),
        ("model name : EPYC\nflags : avx512f avx512_vnni\n", "EPYC", "yes"),
        ("processor : 0\nFeatures : fp asimd asimddp\n", "by platform", "yes"),
        ("processor : 0\nFeatures : fp asimd\n", "by platform", "no"),
        ("processor : 0\n", "by platform", "unknown"),
    ],
)
def test_linux(text, name, answer, tmp_path, monkeypatch):
    monkeypatch.setattr("platform.processor", lambda: "by platform")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "cpuinfo").write_text(text)
    found = str(this_processor(tmp_path / "cpuinfo"))
    assert found.startswith(f"{name}, vectors: ") and found.endswith(f": {answer}")


@pytest.mark.parametrize(
    ("system", "machine", "answer"),
    [("Darwin", "arm64", "yes"), ("Darwin", "x86_64", "unknown"), ("Windows", "AMD64", "unknown")],
)
def test_systems_without_the_file(system, machine, answer, tmp_path, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.processor", lambda: "")
    found = str(this_processor(tmp_path / "none"))
    assert found.startswith(f"{machine}, ") and found.endswith(f": {answer}")
