"""A process of its own that writes an audit log, line after line, and rotates it in one of the ways that there are.

Run as `python log_writer.py LOG WAY LINES SEED`: numbered events; says nothing, ends when it is through. Ways: `rename` as the API
server does it, `logrotate` with numbers (the next file is made empty first), `copy` for copytruncate (nothing is written between
copy and truncation, which is the only way that it loses nothing), `gz` as `rename`, and older parts are compressed.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import sys
import time
from pathlib import Path

WAYS = ("rename", "logrotate", "copy", "gz")


def line(number: int, padding: int = 0) -> bytes:
    """One allowed read; its audit id is its number. `padding`: bytes of a long user agent."""
    event = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": f"{number:036d}",
        "stage": "ResponseComplete",
        "requestURI": f"/api/v1/namespaces/app/secrets/s{number}",
        "verb": "get",
        "user": {"username": "system:serviceaccount:app:reader-sa"},
        "userAgent": "x" * padding,
        "objectRef": {"resource": "secrets", "namespace": "app", "name": f"s{number}", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "stageTimestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime()),
        "annotations": {"authorization.k8s.io/decision": "allow"},
    }
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


class Rotation:
    """Writes `log` and rotates it in one way."""

    def __init__(self, log: Path, way: str) -> None:
        self._log = log
        self._way = way
        self._rotations = 0
        self._file = log.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)

    def rotate(self) -> None:
        """Begin a new file."""
        self._rotations += 1
        log = self._log
        if self._way in ("rename", "gz"):
            older = log.with_name(f"{log.stem}-2026-01-01T{self._stamp()}{log.suffix}")
            self._file.close()
            log.rename(older)
            self._file = log.open("ab", buffering=0)
            if self._way == "gz":
                self._compress(older)
            return
        parts = sorted((int(p.suffix[1:]) for p in log.parent.glob(f"{log.name}.[0-9]*")), reverse=True)
        for number in parts:
            log.with_name(f"{log.name}.{number}").rename(log.with_name(f"{log.name}.{number + 1}"))
        first = log.with_name(f"{log.name}.1")
        if self._way == "copy":
            shutil.copyfile(log, first)
            self._file.truncate(0)
            return
        log.rename(first)
        log.touch()
        old, self._file = self._file, log.open("ab", buffering=0)
        old.close()

    def __del__(self) -> None:
        self._file.close()

    def _stamp(self) -> str:
        second, ms = divmod(self._rotations, 1000)
        return f"{second // 3600:02d}-{second // 60 % 60:02d}-{second % 60:02d}.{ms:03d}"

    @staticmethod
    def _compress(part: Path) -> None:
        """As lumberjack does it: under the final name from the beginning, and the plain one goes at the end."""
        with part.open("rb") as plain, gzip.open(f"{part}.gz", "wb") as packed:
            shutil.copyfileobj(plain, packed)
        part.unlink()


def main() -> None:
    """Write `LINES` lines in pieces that are no whole lines, with rotations between lines."""
    log, way, lines, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    first = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    random_ = random.Random(seed)
    rotation = Rotation(log, way)
    for number in range(first, first + lines):
        data = line(number, 1_000_000 if random_.random() < 0.002 else 0)
        cut = random_.randrange(len(data)) if random_.random() < 0.1 else 0
        rotation.write(data[:cut])
        if random_.random() < 0.3:
            time.sleep(random_.random() * 0.01)
        rotation.write(data[cut:])
        if random_.random() < 0.02:
            rotation.rotate()


if __name__ == "__main__":
    main()
