"""YAML that a person gives, read as the data that JSON could hold and nothing else.

Apart from `inputs_file` because it is a border against hostile text: 300 bytes of YAML with aliases become 250 MB, nesting
crashes parsers, and a tag names a Python class. So the events are looked at first, without building anything.

Words mean what they mean in YAML 1.2: `no` and `on` are text, a date is text (the declared type reads it), `0o17` is
octal and `1:30` is text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from flyte_temporal.errors import BadRequest, InvalidInputs

if TYPE_CHECKING:
    import yaml

MAX_YAML_BYTES = 64 * 1024
MAX_DEPTH = 64

_PLAIN = {
    "tag:yaml.org,2002:null": (r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    "tag:yaml.org,2002:int": (r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    "tag:yaml.org,2002:float": (
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+0123456789."),
    ),
}


def parse_yaml(text: str) -> Any:
    """Return the data of a YAML text.

    Args:
        text: One document of at most `MAX_YAML_BYTES`.

    Raises:
        InvalidInputs: If it is no YAML, too large, nested deeper than `MAX_DEPTH`, or has an alias, a tag, a key twice, or
            a number that JSON cannot hold. Says the line.
        BadRequest: If PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise BadRequest(
            "this is YAML, and PyYAML is not installed. Run 'pip install \"flyte-temporal[cli]\"', or give JSON."
        ) from error
    if len(text.encode()) > MAX_YAML_BYTES:
        raise InvalidInputs(f"YAML of more than {MAX_YAML_BYTES // 1024} KiB is not read; give JSON")
    loader = _loader()
    try:
        _check(text, loader)
        return yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader, made below
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark is not None else ""
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise InvalidInputs(f"{line}{said}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInputs(f"expected YAML ({error})") from None


def _check(text: str, loader: Any) -> None:
    """Look at the events, of which there are never more than characters."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InvalidInputs(
                f"line {line}: anchors and aliases (& and *) are not read; write the value out, or quote it as text"
            )
        if (tag := getattr(event, "tag", None)) and tag != "!":
            raise InvalidInputs(
                f"line {line}: the tag {tag!r} is not read; the declared type says what it is"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InvalidInputs(f"line {line}: the YAML is nested deeper than {MAX_DEPTH} levels")


@cache
def _loader() -> Any:
    """Return PyYAML's safe loader, in C where there is one, with the words of YAML 1.2 and without doubled keys."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[Any, Any] = {}

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:  # noqa: ARG002 - PyYAML's signature
            found: dict[str, Any] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise _fault("a key must be plain text", key)
                # as written: keys of JSON are text, and the declared type reads it
                if key.value in found:
                    raise _fault(f"the key {key.value!r} stands twice", key)
                found[key.value] = self.construct_object(value, deep=True)
            return found

        def construct_whole(self, node: yaml.ScalarNode) -> int:
            sign = -1 if node.value.startswith("-") else 1
            digits = node.value.lstrip("+-")
            base_ = {"0o": 8, "0x": 16}.get(digits[:2], 10)
            try:
                return sign * int(digits[2:] if base_ != 10 else digits, base_)
            except ValueError:
                raise _fault('the number has too many digits; write it in hexadecimal, "0x…"', node) from None

        def construct_number(self, node: yaml.ScalarNode) -> float:
            if node.value.lower().lstrip("+-") in {".inf", ".nan"}:
                words = {".inf": '"Infinity" or "-Infinity"', ".nan": '"NaN"'}
                raise _fault(f"write {words[node.value.lower().lstrip('+-')]} as text", node)
            value = float(node.value)
            if value in {float("inf"), float("-inf")}:
                raise _fault(f"the number {node.value} is too large for a float", node)
            return value

    Loader.yaml_constructors = {
        "tag:yaml.org,2002:null": base.construct_yaml_null,
        "tag:yaml.org,2002:bool": base.construct_yaml_bool,
        "tag:yaml.org,2002:int": Loader.construct_whole,
        "tag:yaml.org,2002:float": Loader.construct_number,
        "tag:yaml.org,2002:str": base.construct_yaml_str,
        "tag:yaml.org,2002:seq": base.construct_yaml_seq,
        "tag:yaml.org,2002:map": base.construct_yaml_map,
    }
    for tag, (pattern, first) in _PLAIN.items():
        Loader.add_implicit_resolver(tag, re.compile(pattern), first)
    return Loader


def _fault(problem: str, node: Any) -> Exception:
    import yaml

    fault: Exception = yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    return fault
