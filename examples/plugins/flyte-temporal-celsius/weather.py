"""A workflow that uses the plug-in and does not import it: `pip install` is all it takes."""

from dataclasses import dataclass

from flyte_temporal_celsius import Celsius, Readings

from flyte_temporal import StructuredDataset, task, workflow


@dataclass
class Day:
    highest: Celsius
    lowest: Celsius | None = None


@task
def measure(start: Celsius) -> tuple[Day, StructuredDataset]:
    warmer = Celsius(start.degrees + 10)
    readings = Readings({"roof": warmer.degrees, "yard": start.degrees})
    return Day(highest=warmer, lowest=start), StructuredDataset(readings, file_format="lines")


@task
def report(day: Day, readings: StructuredDataset) -> str:
    places = readings.open(Readings).all().by_place
    return f"up to {day.highest.degrees} degrees, {places['yard']} in the yard"


@workflow
def weather(start: Celsius) -> tuple[str, Celsius]:
    day, readings = measure(start=start)
    return report(day=day, readings=readings), day.highest
