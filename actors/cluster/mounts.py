"""Which Secrets a pod gets without asking the API server itself: volumes, environment, image pulls, storage drivers.

Pure; counterpart: decode.py. `optional` and `items` change nothing: the Secret is the pod's whenever it exists.
Impossible Secret names are left out rather than taken as a reason to skip the pod, which would hide it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from actors.cluster.records import MountedSecret
from actors.cluster.views import Container, NameRef, PodSpec, Volume
from actors.evidence import is_object_name

_NOWHERE: Final[tuple[str | None, ...]] = (None,)


def mounts_of(spec: PodSpec) -> tuple[MountedSecret, ...]:
    """Every (Secret, how, path) of the pod once, longest path first. A volume mounted at two paths is there twice.

    A volume that no container mounts has path None. `csi` stands for every Secret that is handed to a storage driver.
    """
    containers = [*(spec.containers or ()), *(spec.init_containers or ()), *(spec.ephemeral_containers or ())]
    paths = _mount_paths(containers)
    found: dict[MountedSecret, None] = {}
    for volume in spec.volumes or ():
        found.update(dict.fromkeys(_of_volume(volume, paths)))
    for container in containers:
        found.update(dict.fromkeys(_of_environment(container)))
    for ref in spec.image_pull_secrets or ():
        if (secret := _name_of(ref)) is not None:
            found[MountedSecret(secret, "image_pull")] = None
    return tuple(sorted(found, key=lambda mount: -len(mount.path or "")))


def hidden_of(spec: PodSpec, mounts: tuple[MountedSecret, ...]) -> tuple[str, ...]:
    """Where, below the mount of a Secret's file, another volume is mounted. Mostly nowhere."""
    secret_paths = {mount.path for mount in mounts if mount.path is not None}
    if not secret_paths:
        return ()
    containers = [*(spec.containers or ()), *(spec.init_containers or ()), *(spec.ephemeral_containers or ())]
    paths = {path for found in _mount_paths(containers).values() for path in found if path is not None}
    others = paths - secret_paths
    return tuple(sorted(path for path in others if any(path.startswith(f"{above}/") for above in secret_paths)))


def _mount_paths(containers: list[Container]) -> dict[str, tuple[str | None, ...]]:
    """Where each volume is mounted, over all containers. A subPath mount's path is its mountPath: the one file."""
    paths: dict[str, dict[str | None, None]] = {}
    for container in containers:
        for mount in container.volume_mounts or ():
            if mount.mount_path:
                paths.setdefault(mount.name, {})[mount.mount_path.rstrip("/") or "/"] = None
    return {volume: tuple(found) for volume, found in paths.items()}


def _of_volume(volume: Volume, paths: dict[str, tuple[str | None, ...]]) -> Iterator[MountedSecret]:
    where = paths.get(volume.name, _NOWHERE)
    if volume.secret is not None and (secret := _possible(volume.secret.secret_name)) is not None:
        for path in where:
            yield MountedSecret(secret, "volume", path)
    if volume.projected is not None:
        for source in volume.projected.sources or ():
            if (secret := _name_of(source.secret)) is not None:
                for path in where:
                    yield MountedSecret(secret, "projected", path)
    for secret in _driver_secrets(volume):
        yield MountedSecret(secret, "csi")


def _driver_secrets(volume: Volume) -> Iterator[str]:
    """Secrets that the kubelet hands to a storage driver; no file of them appears in the pod."""
    refs = [volume.csi.node_publish_secret_ref] if volume.csi is not None else []
    plugins = (
        volume.cephfs,
        volume.cinder,
        volume.flex_volume,
        volume.iscsi,
        volume.rbd,
        volume.scale_io,
        volume.storageos,
    )
    refs += [plugin.secret_ref for plugin in plugins if plugin is not None]
    for ref in refs:
        if (secret := _name_of(ref)) is not None:
            yield secret
    if volume.azure_file is not None and (secret := _possible(volume.azure_file.secret_name)) is not None:
        yield secret


def _of_environment(container: Container) -> Iterator[MountedSecret]:
    for variable in container.env or ():
        if variable.value_from is not None and (secret := _name_of(variable.value_from.secret_key_ref)) is not None:
            yield MountedSecret(secret, "env")
    for source in container.env_from or ():
        if (secret := _name_of(source.secret_ref)) is not None:
            yield MountedSecret(secret, "env")


def _name_of(ref: NameRef | None) -> str | None:
    return _possible(ref.name) if ref is not None else None


def _possible(name: str | None) -> str | None:
    return name if name and is_object_name(name) else None
