"""Checks that keep the project in order; `python ci/check.py` runs them all."""

from __future__ import annotations
