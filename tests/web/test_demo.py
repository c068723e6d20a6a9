"""The demonstration's processes: a stand-in for serve, the real simulated API server, every way in which it can end."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import trio
import yaml

from web.demo import Commands, DemoError, example_folder, run_demo
from web.processes import Child, free_port, until_signal

ROOT = Path(__file__).parents[2]
CLUSTER = {
    "kind": "List",
    "items": [
        {"kind": "ServiceAccount", "metadata": {"name": "sa", "namespace": "n", "uid": "u1"}},
        {
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "n", "uid": "u2"},
            "spec": {"serviceAccountName": "sa", "nodeName": "node"},
            "status": {"podIP": "10.0.0.1"},
        },
        {"kind": "Role", "metadata": {"name": "r", "namespace": "n", "uid": "u3"}, "rules": []},
        {
            "kind": "RoleBinding",
            "metadata": {"name": "b", "namespace": "n", "uid": "u4"},
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": "n"}],
        },
    ],
}
CHAIN = {
    "entry": {"kind": "Pod", "namespace": "n", "name": "p"},
    "reach": "rbac-granted",
    "grant": {"binding": {"kind": "RoleBinding", "namespace": "n", "name": "b"}},
}
EXPECTED = {"workload": "Pod/n/p", "secret": "n/key", "binding": "RoleBinding/n/b"}


@pytest.fixture
def example(tmp_path, monkeypatch):
    """A tiny example, and an environment in which a PROTECTOR_ variable of the caller's must not reach serve."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "cluster.yaml").write_text(yaml.safe_dump(CLUSTER))
    (folder / "chain.json").write_text(json.dumps(CHAIN))
    monkeypatch.setenv("STANDIN_CHAINS", str(folder / "chain.json"))
    monkeypatch.setenv("STANDIN_PID", str(folder / "pid"))
    monkeypatch.setenv("PROTECTOR_STATE_DIR", "/nonexistent")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_story(folder, lit=[EXPECTED])
    return folder


def write_story(folder, **expect):
    ask = {"by": "Pod/n/p", "verb": "get", "secret": "n/key", "binding": "RoleBinding/n/b"}
    scenes = [{"at_s": 0.1, "tell": "the pod reads\x07", "requests": [ask], "expect": expect}]
    story = {"title": "tiny", "secrets": ["n/key"], "scenes": scenes, "apiserver": {"batch_max_wait_s": 0.2}}
    (folder / "story.yaml").write_text(yaml.safe_dump(story))


def demo(folder, how, monkeypatch, *, once=True):
    """Runs it. Returns the exit code and what it told."""
    monkeypatch.setenv("STANDIN", how)
    out = io.StringIO()
    serve = (sys.executable, str(Path(__file__).with_name("standin_serve.py")))
    code = run_demo(folder, once=once, out=out, commands=Commands(serve=serve))
    return code, out.getvalue()


def is_gone(folder):
    try:
        os.kill(int((folder / "pid").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
def test_it_ends_with_0_when_the_story_came_true(example, monkeypatch):
    """The scene and the flip are told, control characters as escapes, and both processes are ended."""
    code, told = demo(example, "good", monkeypatch)
    assert code == 0
    assert "the pod reads\\x07" in told
    assert "* corroborated  Pod/n/p\\x1b[2J -> n/key" in told
    assert "dashboard: http://127.0.0.1:" in told
    assert "\x1b" not in told
    assert is_gone(example)


@pytest.mark.slow
def test_it_ends_with_1_and_says_what_is_missing(example, monkeypatch):
    """A chain that was never lit is named."""
    monkeypatch.setattr("web.demo.SETTLE_S", 0.5)
    code, told = demo(example, "dark", monkeypatch)
    assert code == 1
    assert "scene 1: never corroborated: Pod/n/p -> n/key (by RoleBinding/n/b)" in told
    assert is_gone(example)


@pytest.mark.slow
def test_it_ends_with_1_when_a_chain_is_lit_that_must_not_be(example, monkeypatch):
    """A chain that must stay dark and does not is named."""
    write_story(example, dark=[EXPECTED])
    code, told = demo(example, "bright", monkeypatch)
    assert code == 1
    assert "scene 1: lit, but nothing used it" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "why"), [("dies", "serve ended with 2: protector: something is wrong"), ("ends", "serve ended with 7")]
)
def test_a_serve_that_ends_is_one_error(example, monkeypatch, how, why):
    """Its exit code and the end of its log are in the error."""
    with pytest.raises(DemoError, match=why):
        demo(example, how, monkeypatch)


@pytest.mark.slow
def test_a_player_that_fails_is_one_error(example, monkeypatch):
    """So is a simulated API server that cannot begin."""
    monkeypatch.setenv("STANDIN", "good")
    player = (sys.executable, "-c", "import sys; sys.exit('no story')")
    serve = (sys.executable, str(Path(__file__).with_name("standin_serve.py")))
    with pytest.raises(DemoError, match="the simulated API server ended with 1: no story"):
        run_demo(example, once=True, out=io.StringIO(), commands=Commands(serve=serve, player=player))
    assert is_gone(example)


@pytest.mark.slow
def test_a_child_that_does_not_hear_sigterm_is_killed(example, monkeypatch):
    """After the grace it is killed, so nothing is left behind."""
    monkeypatch.setattr("web.processes.GRACE_S", 0.3)
    code, _ = demo(example, "stubborn", monkeypatch)
    assert (code, is_gone(example)) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_once_it_stays_up_until_a_signal(example, monkeypatch, number):
    """It tells the verdict, stays, and ends its children and itself with 0 at the signal."""
    out = Signalling("Ctrl-C", number)
    monkeypatch.setenv("STANDIN", "good")
    serve = (sys.executable, str(Path(__file__).with_name("standin_serve.py")))
    assert run_demo(example, once=False, out=out, commands=Commands(serve=serve)) == 0
    assert "all 1 expectations of the story held" in out.getvalue()
    assert is_gone(example)


class Signalling(io.StringIO):
    """An output that sends this process a signal when it reads a word."""

    def __init__(self, word, number):
        super().__init__()
        self.word, self.number = word, number

    def write(self, text):
        if self.word in text:
            os.kill(os.getpid(), self.number)
        return super().write(text)


# --- parts ----------------------------------------------------------------------------------------------------------------


def test_the_shipped_example_is_found_by_name_and_any_folder_by_path(example):
    """`shop` is in the source tree or the package; another folder needs both files."""
    assert example_folder("shop").name == "shop"
    assert example_folder(str(example)) == example
    (example / "story.yaml").unlink()
    for name in (str(example), "no-such-example", "", ".", "../docs"):
        with pytest.raises(DemoError, match="no example"):
            example_folder(name)


def test_an_example_that_cannot_be_read_is_one_line(example):
    """What is wrong with a story or a cluster is said before anything is started."""
    (example / "story.yaml").write_text("title: 7")
    with pytest.raises(DemoError, match=r"story\.yaml") as error:
        run_demo(example, once=True, out=io.StringIO())
    assert "\n" not in str(error.value)


def test_free_ports_are_below_the_ephemeral_range():
    """So that no outgoing connection sits on one while serve starts."""
    assert 10_240 <= free_port() < 32_000


@pytest.mark.slow
def test_lines_of_a_child_come_whole_and_bounded(tmp_path, monkeypatch):
    """Lines are split at newlines, the last one without an end too, and a line that is too long is cut."""
    monkeypatch.setattr("web.processes.LINE_BYTES_MAX", 10)
    text = "print('one'); print('x' * 50); print('two', end='')"

    async def body():
        lines = []
        async with Child("child", (sys.executable, "-c", text), tmp_path / "log", dict(os.environ)) as child:
            await child.read_lines(lines.append)
        return lines

    assert trio.run(body) == [b"one", b"x" * 10, b"two"]


def test_until_signal_returns_what_the_work_returns():
    """Without a signal it is the work's own result."""

    async def work():
        await trio.lowlevel.checkpoint()
        return 3

    assert trio.run(until_signal, work) == 3


def test_until_signal_cancels_at_a_signal():
    """With one it is None, and the work was cancelled."""

    async def work():
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.sleep_forever()

    began = time.monotonic()
    assert trio.run(until_signal, work) is None
    assert time.monotonic() - began < 5
