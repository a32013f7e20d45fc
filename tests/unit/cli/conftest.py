"""Fixtures of the command line's tests."""

from __future__ import annotations

import pytest

from tests.unit.cli.scripted import Screen, new_screen


@pytest.fixture
def screen() -> Screen:
    return new_screen()
