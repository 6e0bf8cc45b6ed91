"""The browser in which the page of srbench explore is tried."""

from __future__ import annotations
