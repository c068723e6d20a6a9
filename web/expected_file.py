"""The file of expected readers (`PROTECTOR_EXPECTED`), or a folder of such files. Counterpart: actors/engine/expected.py."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from actors.engine.expected import ENTRIES_MAX, BadExpected, Entry, Expected, entries_of

FILE_BYTES_MAX: Final = 1 << 20
"""Largest file. Overflow: the start is refused."""
FILES_MAX: Final = 100
"""Files of a folder. Overflow: the start is refused."""


def load_entries(path: Path) -> tuple[Entry, ...]:
    """The entries of a file, or of every *.yaml and *.yml of a folder by name. Raises BadExpected, one line that names the file."""
    entries = [entry for file in _files(path) for entry in _entries(file)]
    if len(entries) > ENTRIES_MAX:
        raise BadExpected(f"{path}: more than {ENTRIES_MAX} entries")
    return tuple(entries)


def load_expected(path: Path | None) -> Expected:
    """The entries of `path` (None: no file) and those that are built in. Raises BadExpected."""
    return Expected(() if path is None else load_entries(path))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    # A ConfigMap's volume keeps its versions in folders and links whose names begin with two dots.
    try:
        found = sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml") and each.name[0] != ".")
    except OSError as error:
        raise BadExpected(f"{path}: {error.strerror}") from None
    if not found:
        raise BadExpected(f"{path}: holds no .yaml file")
    if len(found) > FILES_MAX:
        raise BadExpected(f"{path}: more than {FILES_MAX} files")
    return found


def _entries(file: Path) -> tuple[Entry, ...]:
    try:
        if not file.is_file():
            raise BadExpected(f"{file}: " + ("is no regular file" if file.exists() else "there is no such file"))
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise BadExpected(f"{file}: larger than {FILE_BYTES_MAX} bytes")
        return entries_of(content.decode())
    except OSError as error:
        raise BadExpected(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadExpected(f"{file}: no UTF-8") from None
    except BadExpected as error:
        text = str(error)
        raise BadExpected(text if text.startswith(str(file)) else f"{file}: {text}") from None
