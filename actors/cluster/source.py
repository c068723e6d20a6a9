"""The file source: what `kubectl get ... -o json|yaml` wrote, gzipped or not, as a Snapshot. Counterpart: the command line, actor.py.

A file is one List, one object, or many documents: concatenated JSON, JSON lines, or YAML separated by `---`.
Every fault is a ClusterFileError with one line that names the file and never quotes its content (it may hold Secrets).
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.cluster.decode import decode_builtins, decode_json, is_list_kind, item_head
from actors.cluster.documents import NotJsonError, NotYamlError, json_documents, yaml_documents
from actors.cluster.raw import Decoded, Gateway, Owner, RawPod, RawRoute, Skipped, Snapshot
from actors.cluster.records import Role, Route
from actors.cluster.views import Envelope, Head

__all__ = ["ClusterFileError", "Snapshot", "load_file"]

FILE_BYTES_MAX: Final = 1 << 30
"""Largest file, unpacked."""
YAML_BYTES_MAX: Final = 32 << 20
"""Largest YAML, unpacked: it is read at a small fraction of JSON's speed, so more of it should come as JSON."""
UNKNOWN_KINDS_MAX: Final = 100
"""Unknown kinds that are counted apart; the rest is counted under ""."""


class ClusterFileError(Exception):
    """The file cannot be used. The text is one line for the user: which file, and what is wrong with it."""


def load_file(path: str | Path) -> Snapshot:
    """Read a cluster file. Raises ClusterFileError: missing, unreadable, too large, empty, cut short, or of no known kind."""
    data = _text(path, _unpacked(path, _read(path)))
    taken = _Taken()
    try:
        if data[:1] in (b"{", b"["):
            for document in json_documents(data):
                taken.json_document(document)
        else:
            if len(data) > YAML_BYTES_MAX:
                raise _error(
                    path, f"is more than {YAML_BYTES_MAX >> 20} MiB of YAML; write it as JSON (kubectl get -o json)"
                )
            for value in yaml_documents(data):
                taken.yaml_document(value)
    except (NotJsonError, NotYamlError) as fault:
        raise _error(path, str(fault)) from None
    if not taken.objects:
        raise _error(path, taken.why_nothing())
    return taken.snapshot(str(path))


def kind_of(decoded: Decoded) -> str:
    """The Kubernetes kind of what was decoded."""
    match decoded:
        case RawPod():
            return "Pod"
        case RawRoute():
            return decoded.route.kind
        case Owner() | Route():
            return decoded.kind
        case Gateway():
            return "Gateway"
        case _:
            return decoded.name.kind if isinstance(decoded, Role) else decoded.key.kind


class _Taken:
    """What has been read of a file so far."""

    def __init__(self) -> None:
        self.objects: list[Decoded] = []
        self.counts: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.malformed = 0

    def json_document(self, document: memoryview) -> None:
        try:
            envelope = msgspec.json.decode(document, type=Envelope)
            items = _ITEMS.decode(envelope.items) if envelope.items and is_list_kind(envelope.kind) else None
        except msgspec.MsgspecError as fault:
            raise_if_broken(fault)
            self.malformed += 1
            return
        except UnicodeError:
            self.malformed += 1
            return
        if items is None:
            self._document(envelope.kind, decode_json(document))
        else:
            self._items(items, item_head(envelope.kind, envelope.api_version), decode_json)

    def yaml_document(self, value: Any) -> None:
        if not isinstance(value, dict):
            self.malformed += 1
            return
        kind, items, api_version = value.get("kind"), value.get("items"), value.get("apiVersion")
        if kind is None and items is not None:
            raise NotYamlError("is cut short: a list of items that does not say its kind")
        if not isinstance(kind, str) or not is_list_kind(kind):
            self._document(str(kind), decode_builtins(value))
        elif isinstance(items, list):
            self._items(items, item_head(kind, api_version if isinstance(api_version, str) else ""), decode_builtins)

    def _document(self, kind: str, decoded: Decoded | Skipped) -> None:
        if not is_list_kind(kind) or not isinstance(decoded, Skipped):
            self._take(decoded)

    def _items(
        self, items: Iterable[Any], head: Head | None, decode: Callable[[Any, Head | None], Decoded | Skipped]
    ) -> None:
        for item in items:
            self._take(decode(item, head))

    def _take(self, decoded: Decoded | Skipped) -> None:
        if not isinstance(decoded, Skipped):
            self.objects.append(decoded)
            self.counts[kind_of(decoded)] += 1
        elif decoded.reason == "malformed":
            self.malformed += 1
        elif decoded.kind in self.unknown or len(self.unknown) < UNKNOWN_KINDS_MAX:
            self.unknown[decoded.kind] += 1
        else:
            self.unknown[""] += 1

    def why_nothing(self) -> str:
        if self.malformed:
            return f"holds no usable object ({self.malformed} malformed)"
        if self.unknown:
            kinds = ", ".join(sorted(kind if kind.isalnum() else "?" for kind in self.unknown)[:3])
            return f"holds no object of a known kind (found: {kinds})"
        return "holds no objects"

    def snapshot(self, path: str) -> Snapshot:
        return Snapshot(path, tuple(self.objects), dict(self.counts), dict(self.unknown), self.malformed)


_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw] | None)


def raise_if_broken(fault: msgspec.MsgspecError) -> None:
    """Raise NotJsonError if the text is no JSON; return if only the types are not an object's."""
    if not isinstance(fault, msgspec.ValidationError):
        raise NotJsonError.of(fault)


def _error(path: str | Path, what: str) -> ClusterFileError:
    name = str(path)
    return ClusterFileError(f"cluster file {name if name.isprintable() else repr(name)} {what}")


def _read(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise _error(path, "does not exist") from None
    except (OSError, ValueError) as fault:
        raise _error(path, f"cannot be read: {getattr(fault, 'strerror', None) or 'not a path'}") from None
    if len(data) > FILE_BYTES_MAX:
        raise _error(path, f"is larger than {FILE_BYTES_MAX >> 20} MiB")
    return data


def _unpacked(path: str | Path, data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            plain = file.read(FILE_BYTES_MAX + 1)
    except EOFError:
        raise _error(path, "is cut short: its gzip stream has no end") from None
    except (OSError, zlib.error):
        raise _error(path, "is a damaged gzip file") from None
    if len(plain) > FILE_BYTES_MAX:
        raise _error(path, f"is larger than {FILE_BYTES_MAX >> 20} MiB unpacked")
    return plain


def _text(path: str | Path, data: bytes) -> bytes:
    """UTF-8 without byte order mark and leading white space. UTF-16 is what a redirection in PowerShell writes."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeError:
            raise _error(path, "is cut short or no text (UTF-16)") from None
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data[:1].isspace():
        data = data.lstrip()
    if not data:
        raise _error(path, "is empty")
    return data
