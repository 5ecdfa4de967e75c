"""Memory that a visitor of `make app` needs: python benchmarks/explorer_memory.py [--keep]

In a process of its own, photos of 12 megapixels are uploaded and segmented one after the other, all
views are shown, two models are compared, and all files are made. Linux only.
"""

import argparse
import io
import resource
from pathlib import Path

from common import report

from facesegkit.course.explorer import VIEWS, Explorer, group_scene
from facesegkit.course.explorer.exploration import FILES

PHOTOS = 8


def megabytes() -> int:
    """Resident memory of this process at the moment."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1_000_000


def large_photo(number: int) -> bytes:
    """A JPEG of 4000 x 3000 pixels with six faces."""
    file = io.BytesIO()
    scene = group_scene().rotate(number).resize((4000, 3000))
    scene.save(file, "JPEG", quality=92)
    return file.getvalue()


def measure() -> dict[str, object]:
    """Megabytes after each step, and at the peak."""
    explorer = Explorer(model="separable-open", max_upload=20)
    at_start, after_each = megabytes(), []
    for number in range(PHOTOS):
        explorer.add_photo(f"large-{number}.jpg", large_photo(number))
        for view in VIEWS:
            explorer.view.value = view
        after_each.append(megabytes())
    explorer.compare.value = "unet-open"
    after_comparison = megabytes()
    for kind in FILES:
        explorer.file(kind)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 1_000_000
    return {
        "unit": "MB of resident memory of one visitor's process",
        "at_start": at_start,
        "after_each_photo_of_12_megapixels": after_each,
        "after_comparison": after_comparison,
        "peak": peak,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="save to benchmarks/results/")
    report("explorer_memory", measure(), parser.parse_args().keep)


if __name__ == "__main__":
    main()
