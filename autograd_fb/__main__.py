"""``python -m autograd_fb``: see `tools.cli`."""

from __future__ import annotations

import os
import sys

from autograd_fb.tools.cli import main

if __name__ == "__main__":
    try:
        status = main(version=sys.modules["autograd_fb"].__version__)
        sys.stdout.flush()
    except BrokenPipeError:  # `... | head` has read enough; Python's own flush at exit must find an open stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
