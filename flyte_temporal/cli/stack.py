"""Commands about the local stack itself: up, down, status."""

from __future__ import annotations
