"""Train a face parser, evaluate it and plot the results: `python face_segmentation.py --help`."""

import sys

from facesegkit.cli.start import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
