"""Project and domain of a command. Apart from `session`, because declaring commands must not import the client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Project and domain that a command was given; None = those of the environment."""

    project: str | None = None
    domain: str | None = None

    @property
    def words(self) -> str:
        """Return the options that lead another command to the same place, with a space in front, or nothing."""
        project = f" --project {self.project}" if self.project else ""
        return project + (f" --domain {self.domain}" if self.domain else "")
