"""``python -m autograd_fb``: see `tools.cli`."""

from __future__ import annotations

import sys

from autograd_fb.tools.cli import main

if __name__ == "__main__":
    sys.exit(main(version=sys.modules["autograd_fb"].__version__))
