"""From CelebAMask-HQ to a face parser that runs on a laptop's CPU."""

__version__ = "0.1.0"
