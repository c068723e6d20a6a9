"""The reader of the audit log by itself: rotation in every way, between any two looks, from any place."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from log_writer import WAYS, Rotation, line

from actors.auditlog.place import NOWHERE, Place, decode_place, encode_place
from actors.auditlog.reader import LINE_BYTES_MAX, LogReader, Piece


def drain(reader: LogReader, place: Place, most: int = 10_000) -> tuple[list[Piece], Place]:
    """Everything that there is now, each piece taken."""
    pieces: list[Piece] = []
    while len(pieces) < most and (piece := reader.read(place)) is not None:
        pieces.append(piece)
        place = piece.after
        reader.took(place)
    return pieces, place


def lines_of(pieces: list[Piece]) -> list[bytes]:
    """The lines of these pieces."""
    return b"".join(piece.data for piece in pieces).splitlines(keepends=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(3))
def test_every_line_is_read_once_whatever_happens_between_two_looks(tmp_path: Path, way: str, seed: int) -> None:
    """Lines, half lines, rotations, looks and restarts in any order: each line comes once, in order."""
    source = random.Random(f"{way} {seed}")
    log = tmp_path / "audit.log"
    rotation, reader, place = Rotation(log, way), LogReader(log), NOWHERE
    written: list[bytes] = []
    found: list[Piece] = []
    for number in range(400):
        data = line(number)
        cut = source.randrange(len(data)) if source.random() < 0.3 else 0
        rotation.write(data[:cut])
        if source.random() < 0.2:
            pieces, place = drain(reader, place)
            found += pieces
        rotation.write(data[cut:])
        written.append(data)
        if source.random() < 0.05:
            rotation.rotate()
        if source.random() < 0.1:
            reader.close()
            reader, place = LogReader(log), decode_place(encode_place(place))
        if source.random() < 0.1:
            pieces, place = drain(reader, place, most=1)
            found += pieces
    rotation.write(line(400))
    written.append(line(400))
    pieces, place = drain(reader, place)
    reader.close()
    assert [ids(data) for data in written] == [ids(data) for data in lines_of(found + pieces)], f"seed {seed}"
    assert reader.statistics().gaps == 0


def ids(data: bytes) -> int:
    """The number of an event."""
    return int(data.split(b'"auditID":"')[1][:36])


def test_a_partial_last_line_waits_for_its_end(tmp_path: Path) -> None:
    """Half a line is nothing yet."""
    log = tmp_path / "audit.log"
    rotation, reader = Rotation(log, "rename"), LogReader(log)
    rotation.write(line(0)[:100])
    assert reader.read(NOWHERE) is None
    rotation.write(line(0)[100:])
    pieces, _ = drain(reader, NOWHERE)
    assert lines_of(pieces) == [line(0)]
    reader.close()


def test_the_last_half_line_of_a_file_that_was_left_is_handed_on(tmp_path: Path) -> None:
    """A writer that was killed leaves half a line; it is the file's last one, and counts as malformed later."""
    log = tmp_path / "audit.log"
    rotation, reader = Rotation(log, "rename"), LogReader(log)
    rotation.write(line(0) + line(1)[:50])
    rotation.rotate()
    rotation.write(line(2))
    pieces, _ = drain(reader, NOWHERE)
    assert [line(0), line(1)[:50], line(2)] == [piece.data for piece in pieces]
    reader.close()


def test_lines_of_a_megabyte_are_read_and_endless_ones_skipped(tmp_path: Path) -> None:
    """A line over the bound is one oversized item, and costs no neighbour."""
    log = tmp_path / "audit.log"
    rotation, reader = Rotation(log, "rename"), LogReader(log)
    rotation.write(line(0, 1_000_000) + line(1, 3_000_000) + b"x" * (LINE_BYTES_MAX + 5_000_000) + b"\n" + line(2))
    pieces, _ = drain(reader, NOWHERE)
    reader.close()
    assert [ids(data) for data in lines_of(pieces)] == [0, 1, 2]
    assert [piece.oversized for piece in pieces].count(True) == 1


def test_a_first_start_reads_the_older_parts_too(tmp_path: Path) -> None:
    """Oldest first, compressed ones as well."""
    log = tmp_path / "audit.log"
    rotation = Rotation(log, "gz")
    for number in range(4):
        rotation.write(line(number))
        rotation.rotate()
    rotation.write(line(4))
    reader = LogReader(log)
    pieces, _ = drain(reader, NOWHERE)
    reader.close()
    assert [ids(data) for data in lines_of(pieces)] == [0, 1, 2, 3, 4]


def test_a_compressed_part_that_was_cut_short_costs_its_rest(tmp_path: Path) -> None:
    """What can be unpacked counts, the damage too."""
    log = tmp_path / "audit.log"
    rotation = Rotation(log, "gz")
    rotation.write(b"".join(line(number) for number in range(2_000)))
    rotation.rotate()
    rotation.write(line(2_000))
    (part,) = tmp_path.glob("*.gz")
    part.write_bytes(part.read_bytes()[:-2_000])
    reader = LogReader(log)
    pieces, _ = drain(reader, NOWHERE)
    reader.close()
    found = [ids(data) for data in lines_of(pieces) if data.endswith(b"\n")]
    assert found[-1] == 2_000
    assert 100 < len(found) < 2_001
    assert reader.statistics().damaged == 1


def test_parts_that_were_deleted_unread_are_a_gap_and_nothing_comes_twice(tmp_path: Path) -> None:
    """The file followed is gone after a stop; what was read to its end before is not read again."""
    log = tmp_path / "audit.log"
    rotation, reader = Rotation(log, "rename"), LogReader(log)
    rotation.write(line(0))
    rotation.rotate()
    rotation.write(line(1))
    _, place = drain(reader, NOWHERE)
    reader.close()
    rotation.rotate()
    newest = max(tmp_path.glob("audit-*.log"))
    newest.unlink()
    rotation.write(line(2))
    reader = LogReader(log)
    pieces, _ = drain(reader, place)
    reader.close()
    assert [ids(data) for data in lines_of(pieces)] == [2]
    assert reader.statistics().gaps == 1


def test_a_log_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """No file, an empty one, and then a first line."""
    log = tmp_path / "audit.log"
    reader = LogReader(log)
    assert reader.read(NOWHERE) is None
    log.touch()
    assert reader.read(NOWHERE) is None
    log.write_bytes(line(0))
    pieces, _ = drain(reader, NOWHERE)
    reader.close()
    assert lines_of(pieces) == [line(0)]
