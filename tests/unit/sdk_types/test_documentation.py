"""The worked example in docs/types.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from types import GenericAlias
from typing import Any

from flyte_temporal.sdk.types.engine import TypeEngine, ValueContext
from flyte_temporal.spec.types import FLOAT, ListType

PAGE = Path(__file__).parents[3] / "docs" / "types.md"


def test_the_worked_example(context: ValueContext) -> None:
    (source,) = re.findall(r"```python\n(# heat\.py\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    heat: dict[str, Any] = {"__name__": "heat"}
    exec(compile(source, "heat.py", "exec"), heat)
    celsius = heat["Celsius"]
    several = GenericAlias(list, (celsius,))
    engine = TypeEngine()
    engine.register(heat["CelsiusTransformer"]())
    assert engine.literal_type(several) == ListType(element=FLOAT)
    written = engine.to_json([celsius(20.5)], several, context)
    assert written == [20.5]
    (back,) = engine.to_python(written, ListType(element=FLOAT), several, context)
    assert back.degrees == 20.5
