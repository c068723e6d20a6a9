"""A file or a Secret's name as an agent says it, resolved against the pod's own mounts."""

from __future__ import annotations

import json

import pytest

from actors.behaviors.resolve import TEXT_KEPT_MAX, resolve, secrets_at
from actors.cluster.decode import decode_json
from actors.cluster.raw import RawPod
from actors.cluster.records import MountedSecret
from actors.evidence import Alert, FileRead, LibraryLoaded, NetworkConnection, PrivilegeChange, ProcessExec, SecretRead

DB = MountedSecret("db-creds", "volume", "/etc/db")
DEEP = MountedSecret("deep", "volume", "/etc/db/deep")
APP = MountedSecret("app", "projected", "/var/run/app")
BOTH = MountedSecret("both", "projected", "/var/run/app")
ENV = MountedSecret("env-only", "env")
PULL = MountedSecret("registry", "image_pull")


@pytest.mark.parametrize(
    ("path", "expected_secrets"),
    [
        # the file below a mount, however the kernel or the kubelet's links name it
        ("/etc/db/password", ("db-creds",)),
        ("/etc/db", ("db-creds",)),
        ("/etc/db/..2026_01_01/password", ("db-creds",)),
        ("//etc//db/./password", ("db-creds",)),
        # the longest mount path wins
        ("/etc/db/deep/key", ("deep",)),
        ("/etc/db/deeper/key", ("db-creds",)),
        # a volume projected of two Secrets: which one it was is not known, and none is guessed
        ("/var/run/app/token", ("app", "both")),
        # not of a mount
        ("/etc/dbx/password", ()),
        ("/etc/db/../passwd", ()),
        ("/etc", ()),
        ("etc/db/password", ()),
        ("/etc/db/pass\0word", ()),
        ("", ()),
    ],
)
def test_a_file_is_of_the_mount_with_the_longest_path(pod, path, expected_secrets):
    """`/etc/db` never matches `/etc/dbx`, and no path leaves its mount."""
    assert expected_secrets == secrets_at(pod(mounts=(DB, DEEP, APP, BOTH, ENV, PULL)), path)


def test_a_mount_of_one_file_or_of_the_root_is_matched(pod):
    """A subPath mount is its one file; a mount at the root holds everything."""
    one = pod(mounts=(MountedSecret("key", "volume", "/etc/tls.key"),))
    assert (secrets_at(one, "/etc/tls.key"), secrets_at(one, "/etc/tls.key2")) == (("key",), ())
    assert secrets_at(pod(mounts=(MountedSecret("root", "volume", "/"),)), "/anything") == ("root",)


def test_what_is_mounted_over_a_secret_hides_it():
    """A file of an emptyDir, or of a ConfigMap, below the Secret's mount is none of the Secret's; the cluster file tells."""
    container = {
        "volumeMounts": [{"name": "s", "mountPath": "/etc/db/"}, {"name": "tmp", "mountPath": "/etc/db/tmp"},
                         {"name": "tmp", "mountPath": "/elsewhere"}],
    }  # fmt: skip
    spec = {"containers": [container], "volumes": [{"name": "s", "secret": {"secretName": "db-creds"}}]}
    raw = decode_json(
        json.dumps(
            {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web-1", "namespace": "app"}, "spec": spec}
        ).encode()
    )
    assert isinstance(raw, RawPod)
    assert raw.pod.hidden == ("/etc/db/tmp",)
    found = [secrets_at(raw.pod, f"/etc/db/{name}") for name in ("password", "tmp/x", "tmpx")]
    assert found == [("db-creds",), (), ("db-creds",)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("db-creds", "app/db-creds"),
        ("app/db-creds", "app/db-creds"),
        ("db-creds/password", "app/db-creds"),
        ("app/both", "app/both"),  # the namespace before a Secret called like it
        ("app/token", "app/app"),
        ("app", "app/app"),
        # another namespace's, another pod's, and what no file is of
        ("billing/db-creds", None),
        ("other", None),
        ("env-only", None),
        ("registry", None),
        ("", None),
        ("*", None),
    ],
)
def test_a_mounted_secret_is_one_of_the_pods_own(pod, said, expected):
    """A pod mounts only its own namespace's Secrets; whatever else an agent says is no mounted read."""
    found = resolve(pod(mounts=(DB, APP, BOTH, ENV, PULL)), SecretRead(said))
    assert found == ("not_mounted" if expected is None else (SecretRead(expected),))


def test_file_reads_become_mounted_reads_or_nothing(pod):
    """The seed's refinement: a read under a Secret's mount is named, everything else is dropped."""
    web = pod(mounts=(DB, APP))
    assert resolve(web, FileRead("/etc/db/password")) == (SecretRead("app/db-creds"),)
    assert resolve(web, FileRead("/var/run/app/token")) == (SecretRead("app/app"),)
    assert resolve(web, FileRead("/etc/passwd")) == "other_file"


def test_what_a_sensor_writes_freely_is_cut(pod):
    """Of rules, peers, libraries and paths 512 characters are kept; of a program's path the end, which holds its name."""
    long = "x" * 4000
    (alert,), (peer,) = resolve(pod(), Alert(long)), resolve(pod(), NetworkConnection(long, internet=True))
    (library,), (program,) = resolve(pod(), LibraryLoaded(long)), resolve(pod(), ProcessExec(f"/{long}/bash"))
    kept = (alert.rule, peer.peer, library.name, program.path)  # type: ignore[union-attr]
    assert [len(text) for text in kept] == [TEXT_KEPT_MAX] * 4
    assert kept[3].endswith("/bash")
    assert resolve(pod(), PrivilegeChange(1000, 0)) == (PrivilegeChange(1000, 0),)
