"""Nothing of a Secret's value survives decoding, wherever an object carries it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml
from kube_objects import binding, kube, pod, role, rule

from actors.cluster.model import ClusterModel
from actors.cluster.source import load_file

CANARY = "CANARY-9f3a"
HIDDEN = base64.b64encode(CANARY.encode()).decode()
PLACES = {
    "annotations": {
        "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"data": {"k": HIDDEN}, "plain": CANARY}),
        "protector.dev/exposure": CANARY,
    },
    "managedFields": [{"manager": CANARY, "fieldsV1": {"f:data": {f"f:{HIDDEN}": {}}}}],
}
CONTAINER = {
    "name": "c",
    "image": CANARY,
    "env": [{"name": "A", "value": CANARY}],
    "args": [CANARY],
    "command": [HIDDEN],
    "envFrom": [{"prefix": CANARY, "secretRef": {"name": "s"}}],
    "volumeMounts": [{"name": "v", "mountPath": "/x"}],
}
OBJECTS = [
    kube("v1", "Secret", "s", meta=PLACES, type="Opaque", data={"k": HIDDEN}, stringData={"k": CANARY}),
    pod(
        "p",
        containers=[CONTAINER],
        initContainers=[CONTAINER],
        volumes=[{"name": "v", "secret": {"secretName": "s", "items": [{"key": CANARY}]}}],
    ),
    role("r", [rule("get")], meta=PLACES),
    binding("b", "r", [{"kind": "ServiceAccount", "name": "sa"}]),
    kube("v1", "Service", "svc", meta=PLACES, spec={"selector": {"a": "b"}}),
    kube("v1", "ConfigMap", "c", data={"k": CANARY}),
    kube("v1", "ServiceAccount", "sa", meta=PLACES, secrets=[{"name": CANARY}]),
    kube("apps/v1", "Deployment", "d", meta=PLACES, spec={"x": CANARY}),
]
OBJECTS[1]["metadata"] |= PLACES


@pytest.mark.parametrize("form", [json.dumps, yaml.safe_dump], ids=["JSON", "YAML"])
def test_no_value_survives(tmp_path: Path, form: object) -> None:
    """Annotations, managedFields, data, env values and arguments are gone from every record, owner, count and message."""
    path = tmp_path / "cluster"
    path.write_text(form({"kind": "List", "apiVersion": "v1", "items": OBJECTS}))  # type: ignore[operator] # one of two functions
    found = load_file(path)
    model = ClusterModel()
    model.load([found], 1.0)
    said = repr(found) + repr(list(model.records())) + repr(vars(model)) + repr(model.objects(1.0))
    assert (found.objects[1].pod.mounts[0].path, "Secret" in said) == ("/x", True)  # type: ignore[union-attr] # the pod
    assert [mark for mark in (CANARY, HIDDEN) if mark in said] == []
