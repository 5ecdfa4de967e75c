"""Train a face parser, score it, and draw what it does: `python face_segmentation.py --help`."""

import sys

from facesegkit.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
