"""Splits the text of a cluster file into documents. Pure; counterpart: source.py.

JSON documents stay bytes. YAML becomes dicts and lists, under bounds: no aliases that grow, no merge keys, no tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import yaml

YAML_UNFOLDING_MAX: Final = 2
"""Values that the documents of one YAML file may unfold to, as a multiple of its bytes, each alias counted at its full size.
Without aliases there are fewer values than bytes, so only growth beyond that is refused."""
YAML_VALUES_MIN: Final = 10_000
"""What is always granted."""

_TRAILING: Final = re.compile(r"trailing characters \(byte (\d+)\)")


class NotJsonError(Exception):
    """The text is no JSON; says in few words why, without quoting it."""

    @classmethod
    def of(cls, fault: msgspec.MsgspecError) -> NotJsonError:
        """From the decoder's own error, whose text names a byte and never the content."""
        text = str(fault)
        if "truncated" in text:
            return cls("is cut short: the JSON ends inside a document")
        where = re.search(r"\(byte \d+\)", text)
        return cls("is not valid JSON" + (f" {where[0]}" if where else ""))


class NotYamlError(Exception):
    """The text is no YAML that is taken; says in few words why, without quoting it."""


def json_documents(data: bytes) -> Iterator[memoryview]:
    """The documents of concatenated JSON, JSON lines or a single document, without copying them. Raises NotJsonError."""
    rest = memoryview(data)
    while rest:
        end = _end_of_document(rest)
        yield rest[:end]
        rest = rest[end:]


def _end_of_document(text: memoryview) -> int:
    """Where the first document and the space after it end: the decoder says where it found more than one."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError as fault:
        found = _TRAILING.search(str(fault))
        if found is None:
            raise NotJsonError.of(fault) from None
        return int(found[1]) - 1  # it counts the byte that it looked at
    except RecursionError:
        raise NotJsonError("is nested too deep to be objects of a cluster") from None
    return len(text)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C loader where libyaml is there
    """The safe loader, with dates and `=` left as text and without merge keys, which unfold without bound."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse `<<`: kubectl never writes it, and nested merges grow exponentially."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise NotYamlError(f"uses a YAML merge key (line {node.start_mark.line + 1}), which is not taken")


_AS_TEXT: Final = frozenset({"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"})
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _AS_TEXT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def yaml_documents(data: bytes) -> Iterator[Any]:
    """The documents of YAML, empty ones left out. Raises NotYamlError."""
    left = YAML_VALUES_MIN + YAML_UNFOLDING_MAX * len(data)
    try:
        for value in yaml.load_all(data, Loader=_Loader):
            if value is None:
                continue
            left = _spend(value, left)
            yield value
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise NotYamlError(f"is not valid YAML{where}") from None
    except (yaml.YAMLError, ValueError):
        raise NotYamlError("is not valid YAML") from None
    except RecursionError:
        raise NotYamlError("is nested too deep to be objects of a cluster") from None


def _spend(value: Any, left: int) -> int:
    """What is left of the budget after counting every value that `value` unfolds to; iterative, so depth costs nothing."""
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            left -= len(current)
            pending.extend(each for each in current.values() if isinstance(each, (dict, list)))
        else:
            left -= len(current) if isinstance(current, list) else 1
            if isinstance(current, list):
                pending.extend(each for each in current if isinstance(each, (dict, list)))
        if left < 0:
            raise NotYamlError("unfolds to too many values (aliases)")
    return left
