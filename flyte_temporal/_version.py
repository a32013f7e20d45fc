"""The version, in a module of its own so that the build reads it without importing the package."""

__version__ = "0.1.0"
"""Version of the installed distribution, such as `0.1.0`."""
