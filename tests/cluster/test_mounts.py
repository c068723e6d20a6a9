"""Which Secrets a pod gets without asking the API server itself, row by row."""

from __future__ import annotations

import pytest
from kube_objects import decoded, pod

from actors.cluster.raw import RawPod
from actors.cluster.records import MountedSecret


def mounts(**spec: object) -> tuple[MountedSecret, ...]:
    found = decoded(pod(**spec))
    assert isinstance(found, RawPod)
    return found.pod.mounts


def volume(**source: object) -> list[dict]:
    return [{"name": "v", **source}]


def mounted(*paths: str, kind: str = "containers", **more: object) -> dict:
    return {kind: [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": path, **more} for path in paths]}]}


SECRET = {"volumes": volume(secret={"secretName": "s"})}
REF = {"secretRef": {"name": "s"}}
PROJECTED = {
    "volumes": volume(
        projected={"sources": [{"secret": {"name": "a"}}, {"configMap": {"name": "c"}}, {"secret": {"name": "b"}}]}
    )
}
ENV = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({**SECRET, **mounted("/etc/keys")}, [("s", "volume", "/etc/keys")], id="secret volume"),
        pytest.param({**SECRET, **mounted("/etc/keys/")}, [("s", "volume", "/etc/keys")], id="slash at the end"),
        pytest.param(
            {**SECRET, **mounted("/a", "/a/longer")},
            [("s", "volume", "/a/longer"), ("s", "volume", "/a")],
            id="two paths, longest first",
        ),
        pytest.param(
            {**SECRET, **mounted("/etc/app.conf", subPath="app.conf")}, [("s", "volume", "/etc/app.conf")], id="subPath"
        ),
        pytest.param({**SECRET, **mounted("/i", kind="initContainers")}, [("s", "volume", "/i")], id="init container"),
        pytest.param(
            {**SECRET, **mounted("/e", kind="ephemeralContainers")}, [("s", "volume", "/e")], id="ephemeral container"
        ),
        pytest.param(SECRET, [("s", "volume", None)], id="volume that nothing mounts"),
        pytest.param(
            {"volumes": volume(secret={"secretName": "s", "optional": True, "items": []})},
            [("s", "volume", None)],
            id="optional",
        ),
        pytest.param(
            {**PROJECTED, **mounted("/p")},
            [("a", "projected", "/p"), ("b", "projected", "/p")],
            id="projected sources (W25)",
        ),
        pytest.param(
            {"containers": [{"env": [*ENV, {"name": "B", "value": "x"}, *ENV]}]}, [("s", "env", None)], id="env, once"
        ),
        pytest.param(
            {"initContainers": [{"envFrom": [REF, {"configMapRef": {"name": "c"}}]}]},
            [("s", "env", None)],
            id="envFrom",
        ),
        pytest.param(
            {"ephemeralContainers": [{"env": ENV}]}, [("s", "env", None)], id="env of an ephemeral container (W26)"
        ),
        pytest.param(
            {"imagePullSecrets": [{"name": "s"}, {"name": ""}, {}]}, [("s", "image_pull", None)], id="image pull"
        ),
        pytest.param(
            {"volumes": volume(csi={"driver": "d", "nodePublishSecretRef": {"name": "s"}})},
            [("s", "csi", None)],
            id="csi",
        ),
        *(
            pytest.param({"volumes": volume(**{plugin: REF})}, [("s", "csi", None)], id=plugin)
            for plugin in ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
        ),
        pytest.param(
            {"volumes": volume(azureFile={"secretName": "s", "shareName": "x"})}, [("s", "csi", None)], id="azureFile"
        ),
        pytest.param({"volumes": volume(configMap={"name": "c"}), **mounted("/c")}, [], id="no Secret"),
        pytest.param(
            {"volumes": volume(secret={"secretName": "NOT/possible"}), "imagePullSecrets": [{"name": "ok"}]},
            [("ok", "image_pull", None)],
            id="an impossible name hides nothing else",
        ),
    ],
)
def test_mounts(spec: dict, expected: list[tuple]) -> None:
    """Every way in which a Secret reaches a pod is seen, with where it is mounted."""
    assert [MountedSecret(*each) for each in expected] == list(mounts(**spec))
