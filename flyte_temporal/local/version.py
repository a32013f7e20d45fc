"""Version of the language that client and stack speak on the socket. Standard library only."""

from __future__ import annotations

PROTOCOL = 1
"""Raised when an older client or stack would be misunderstood; equal numbers work together whatever the release."""
