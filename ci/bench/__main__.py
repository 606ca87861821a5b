"""`python -m ci.bench` is `python ci/bench/run.py`."""

from __future__ import annotations

import sys

from ci.bench.run import main

if __name__ == "__main__":
    sys.exit(main())
