"""Segment one photo: `python inference.py --image PHOTO --output segmentation_result.png`."""

import sys

from facesegkit.cli.start import segment_one

if __name__ == "__main__":
    sys.exit(segment_one())
