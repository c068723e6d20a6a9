"""What `protector manifests` prints: the permissions are exactly what is watched, and the pod is as the settings want it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from actors.cluster.live.kinds import WATCHED
from actors.config import from_environment, settings_from
from web.manifests import ManifestError, manifests


def objects(**options: str) -> dict[str, dict[str, Any]]:
    """By kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(manifests("registry.example/protector:1", **options))}


def test_it_may_list_and_watch_what_is_watched_and_nothing_more() -> None:
    """No verb but list and watch, no wildcard, nothing of Secrets; each watched kind once."""
    rules = objects()["ClusterRole"]["rules"]
    granted = [(group, resource) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]]
    assert sorted((kind.group, kind.resource) for kind in WATCHED) == sorted(granted)
    assert {tuple(rule["verbs"]) for rule in rules} == {("list", "watch")}
    assert "secrets" not in {resource for _, resource in granted}


def test_the_binding_names_its_account() -> None:
    """Also in another namespace."""
    found = objects(namespace="sec")
    assert found["ClusterRoleBinding"]["subjects"] == [
        {"kind": "ServiceAccount", "name": found["ServiceAccount"]["metadata"]["name"], "namespace": "sec"}
    ]


def test_the_settings_of_the_pod_can_be_used() -> None:
    """`serve` takes the environment as it is, and Service variables are kept away."""
    pod = objects()["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = settings_from(from_environment({each["name"]: each["value"] for each in container["env"]}))
    assert (settings.cluster, settings.audit_addr.port) == ("kubernetes", container["ports"][0]["containerPort"])
    assert pod["enableServiceLinks"] is False
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    assert (mounts[str(settings.state_dir)], mounts[str(settings.ingest_token_file.parent)]) == ("state", "tokens")


def test_everything_selects_the_pod() -> None:
    """Service, NetworkPolicy and StatefulSet by the pod's own labels."""
    found = objects()
    labels = found["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert [
        found["Service"]["spec"]["selector"],
        found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        found["StatefulSet"]["spec"]["selector"]["matchLabels"],
    ] == [labels] * 3


@pytest.mark.parametrize("options", [{"namespace": "A_b"}, {"storage": "lots"}])
def test_an_option_that_cannot_be_is_one_line(options: dict[str, str]) -> None:
    """It names what is wrong."""
    with pytest.raises(ManifestError):
        objects(**options)


def test_an_image_that_is_none_is_refused() -> None:
    """So that nothing it holds becomes part of the YAML's meaning."""
    with pytest.raises(ManifestError, match="image"):
        manifests("a b")
