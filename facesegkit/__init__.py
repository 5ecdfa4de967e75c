"""From CelebAMask-HQ to a face parser that runs on a laptop's CPU."""

import os

__version__ = "0.1.0"

# By default, threads of OpenMP that wait for each other do so by spinning. On a machine that does
# anything else meanwhile this makes training several times slower (5 instead of 20 photos a
# second beside one busy process on two cores), against 6 % that it gains on an idle one. OpenMP
# reads this once, as torch is imported; whoever has set it otherwise is left alone.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
