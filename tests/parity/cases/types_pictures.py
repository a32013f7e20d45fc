"""Images and figures: a figure leaves a task as a picture, which the next one takes as a file or an image."""

# mypy: disable-error-code="arg-type, name-defined"

from typing import Annotated

from matplotlib.figure import Figure
from PIL import Image

from flyte_temporal import FlyteFile, kwtypes, task, workflow


@task
def draw() -> Image.Image:
    return Image.new("RGB", (3, 2), (255, 0, 0))


@task
def look(image: Image.Image) -> str:
    return f"{image.mode} {image.size} {image.getpixel((0, 0))}"


@task
def plot() -> tuple[Figure, Annotated[Figure, kwtypes(format="svg")]]:
    figure = Figure(figsize=(1, 1), dpi=50)
    figure.subplots().plot([1, 2])
    return figure, figure


@task
def read(file: FlyteFile["svg"]) -> bool:  # noqa: F821 - a format
    with file.open("r") as opened:
        return "<svg" in opened.read()


@workflow
def wf() -> tuple[str, str, bool]:
    png, svg = plot()
    return look(image=draw()), look(image=png), read(file=svg)


@task
def cmyk() -> Image.Image:
    return Image.new("CMYK", (1, 1))
