"""An observation of a pod to what it says about the pod's own mounts. Pure; counterpart: cluster/mounts.py.

A pod mounts only Secrets of its own namespace, and an agent can name only what the pod mounts: another pod's mounts cannot be
touched from here, whatever the report says.
"""

from __future__ import annotations

from posixpath import normpath
from typing import Final

from actors.cluster.records import Pod
from actors.evidence import Alert, Behavior, FileRead, LibraryLoaded, NetworkConnection, ProcessExec, SecretRead

TEXT_KEPT_MAX: Final = 512
"""Characters that are kept of a rule, peer, library or path."""


def resolve(pod: Pod, behavior: Behavior) -> tuple[Behavior, ...] | str:
    """What the behavior is, known the pod's mounts; mounted reads name `namespace/name`. A text: the reason why it is dropped.

    A file under a volume projected of several Secrets may be any of theirs: all are named, none is guessed.
    """
    if isinstance(behavior, SecretRead):
        secret = _mounted_name(pod, behavior.secret)
        return (SecretRead(f"{pod.namespace}/{secret}"),) if secret is not None else "not_mounted"
    if isinstance(behavior, FileRead):
        secrets = secrets_at(pod, behavior.path)
        return tuple(SecretRead(f"{pod.namespace}/{secret}") for secret in secrets) or "other_file"
    return (_cut(behavior),)


def _cut(behavior: Behavior) -> Behavior:
    """What a sensor may write freely is cut: it is kept, shown, and told apart by."""
    match behavior:
        case Alert(rule=rule) if len(rule) > TEXT_KEPT_MAX:
            return Alert(rule[:TEXT_KEPT_MAX])
        case NetworkConnection(peer=peer, internet=internet) if len(peer) > TEXT_KEPT_MAX:
            return NetworkConnection(peer[:TEXT_KEPT_MAX], internet)
        case LibraryLoaded(name=name) if len(name) > TEXT_KEPT_MAX:
            return LibraryLoaded(name[:TEXT_KEPT_MAX])
        case ProcessExec(path=path) if len(path) > TEXT_KEPT_MAX:
            return ProcessExec(path[-TEXT_KEPT_MAX:])  # the basename says what it is
        case _:
            return behavior


def _mounted_name(pod: Pod, said: str) -> str | None:
    """Which mounted Secret `name`, `namespace/name` or `name/subpath` means, in this order; None where none is mounted."""
    mounted = {mount.secret for mount in pod.mounts if mount.how in ("volume", "projected")}
    if said in mounted:
        return said
    first, slash, rest = said.partition("/")
    if not slash:
        return None
    if first == pod.namespace and rest in mounted:
        return rest
    return first if first in mounted else None


def secrets_at(pod: Pod, path: str) -> tuple[str, ...]:
    """The Secrets that the file may be of: those with the longest mount path above it, unless something else is mounted between."""
    if not path.startswith("/") or "\0" in path:
        return ()
    path = "/" + normpath(path).lstrip("/")
    found: dict[str, None] = {}
    longest = ""
    for mount in pod.mounts:  # longest path first
        if mount.path is None or mount.how not in ("volume", "projected") or not _is_under(path, mount.path):
            continue
        if found and mount.path != longest:
            break
        longest = mount.path
        found[mount.secret] = None
    if any(len(other) > len(longest) and _is_under(path, other) for other in pod.hidden):
        return ()
    return tuple(found)


def _is_under(path: str, mount: str) -> bool:
    """`/etc/foo` holds itself and `/etc/foo/bar`, never `/etc/foobar`."""
    return path == mount or path.startswith("/" if mount == "/" else f"{mount}/")
