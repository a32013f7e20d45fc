"""Tests of the type engine."""
