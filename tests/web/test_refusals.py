"""What a person typed or pointed at wrongly is one line that names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.config import Address, Settings
from web.app import _bind_all, _expected, _snapshots
from web.ask import AskError, Server
from web.edge import StartError
from web.expected_file import FILE_BYTES_MAX


def test_a_ca_that_is_none_is_named(tmp_path: Path) -> None:
    """--ca with a file that holds no certificate."""
    file = tmp_path / "ca.crt"
    file.write_text("no certificate")
    with pytest.raises(AskError, match=r"--ca .*ca\.crt"):
        Server("https://127.0.0.1:1", ca=file)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"], ids=["empty", "blank", "binary"])
def test_a_token_file_without_a_token_is_named(tmp_path: Path, content: bytes) -> None:
    """--token-file that is empty, or no text."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(AskError, match=r"--token-file .*token"):
        Server("http://127.0.0.1:1", token_file=file)


@pytest.mark.parametrize("host", ["127..0.0.1", "a" * 64 + ".example"])
def test_a_host_name_that_cannot_be_one_is_named(host: str) -> None:
    """No resolver can be asked for it: the refusal names the setting."""
    settings = Settings(audit_addr=Address(host, 1), ingest_token="t", dashboard_addr=Address("127.0.0.1", 0))
    with pytest.raises(StartError, match="PROTECTOR_AUDIT_ADDR"):
        _bind_all(settings)


def test_a_cluster_that_is_a_pipe_does_not_hold_up_the_start(tmp_path: Path) -> None:
    """Nobody may ever write into it, so it is refused at once."""
    os.mkfifo(tmp_path / "cluster.json")
    with pytest.raises(StartError, match=r"PROTECTOR_CLUSTER: .*no regular file"):
        _snapshots(Settings(cluster=str(tmp_path / "cluster.json")))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("expected.yaml", b"expected: 1", "a document with one list"),
        ("expected.yaml", b"\xff\xfe", "no UTF-8"),
        ("expected.yaml", b"#" * (FILE_BYTES_MAX + 1), "larger than"),
        ("folder/readme.txt", b"", "holds no .yaml file"),
        ("folder/b.yml", b"expected: [{}]", r"b\.yml: entry 1"),
    ],
)
def test_a_file_of_expected_readers_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    """The setting, the file, and what is wrong; a pipe and a file that is missing too."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    path = file if file.parent == tmp_path else file.parent
    with pytest.raises(StartError, match=rf"PROTECTOR_EXPECTED: .*{said}"):
        _expected(Settings(expected=path))
    with pytest.raises(StartError, match=r"PROTECTOR_EXPECTED: .*none: there is no such file"):
        _expected(Settings(expected=tmp_path / "none"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StartError, match="no regular file"):
        _expected(Settings(expected=tmp_path / "pipe"))
