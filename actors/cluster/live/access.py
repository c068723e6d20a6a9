"""Where the API server is and with which credentials: the pod's own account, or a kubeconfig. Reads files; no sockets.

Rules: client-go rest.InClusterConfig (the two variables and the three files) and tools/clientcmd (KUBECONFIG, then ~/.kube/config).
Programs that a kubeconfig names (exec, auth-provider) are never run, and certificates are always checked: both are refused with
one line. Nothing of a credential is ever part of a text here.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from actors.evidence import is_namespace_name

ACCOUNT_DIR: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a kubelet puts the pod's token, its CA and its namespace."""
KUBECONFIG_BYTES_MAX: Final = 1 << 20
"""Longest kubeconfig that is read."""
TOKEN_BYTES_MAX: Final = 1 << 16
"""Longest token that is read."""


class AccessError(Exception):
    """There is no way to the API server. The text is one line for the operator and holds no credential."""


class ApiAccess:
    """One API server and how to speak to it. `base` is a path in front of every other, "" for none."""

    def __init__(
        self,
        url: str,
        *,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
        token: str | None = None,
        token_file: Path | None = None,
        namespace: str = "default",
        where: str = "",
    ) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise AccessError(f"{where}: the server is no URL") from None
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise AccessError(f"{where}: the server is no https URL")
        self.is_tls = parts.scheme == "https"
        self.host: str = parts.hostname
        self.port: int = port or (443 if self.is_tls else 80)
        self.base = parts.path.rstrip("/")
        self.context = context if not self.is_tls or context is not None else ssl.create_default_context()
        self.server_name = server_name or self.host
        self.namespace = namespace
        """Where the account is at home, as far as this is known."""
        self.where = where
        self._token = token
        self._token_file = token_file

    def token(self) -> str | None:
        """The bearer token as it is now (a bound token's file changes about every hour); None: the certificate speaks, or nobody.

        Over http none is sent, as client-go does not either. Raises AccessError where the file cannot be read.
        """
        if not self.is_tls:
            return None
        if self._token_file is None:
            return self._token
        try:
            with self._token_file.open("rb") as file:
                token = file.read(TOKEN_BYTES_MAX).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise AccessError(f"the token file {self._token_file}: {_reason(fault)}") from None
        if not token.isprintable() or " " in token:
            raise AccessError(f"the token file {self._token_file} holds no token")
        return token or None


def find_access(environment: Mapping[str, str], *, account_dir: Path = ACCOUNT_DIR) -> ApiAccess:
    """KUBECONFIG if it is set, else the pod's own account, else ~/.kube/config. Raises AccessError."""
    named = [Path(part) for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    if named:
        return from_kubeconfig(next((path for path in named if path.exists()), named[0]))
    if environment.get("KUBERNETES_SERVICE_HOST") and (account_dir / "token").exists():
        return in_cluster(environment, account_dir)
    home = Path(environment.get("HOME", "/")) / ".kube" / "config"
    if home.exists():
        return from_kubeconfig(home)
    raise AccessError(
        "no way to the API server: neither KUBECONFIG nor a pod's ServiceAccount token nor ~/.kube/config"
    )


def in_cluster(environment: Mapping[str, str], account_dir: Path = ACCOUNT_DIR) -> ApiAccess:
    """The pod's own account."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    try:
        context = ssl.create_default_context(cafile=str(account_dir / "ca.crt"))
    except OSError as fault:
        raise AccessError(f"{account_dir / 'ca.crt'}: {_reason(fault)}") from None
    try:
        namespace = (account_dir / "namespace").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        namespace = ""
    return ApiAccess(
        f"https://{host}:{port}",
        context=context,
        token_file=account_dir / "token",
        namespace=namespace if is_namespace_name(namespace) else "default",
        where="the pod's own account",
    )


def from_kubeconfig(path: Path) -> ApiAccess:
    """The current context of a kubeconfig."""
    where = f"kubeconfig {path}"
    try:
        with path.open("rb") as file:
            config = yaml.safe_load(file.read(KUBECONFIG_BYTES_MAX))
    except (OSError, UnicodeDecodeError) as fault:
        raise AccessError(f"{where}: {_reason(fault)}") from None
    except (yaml.YAMLError, RecursionError):  # its text quotes what it could not read
        raise AccessError(f"{where}: is no YAML") from None
    if not isinstance(config, dict):
        raise AccessError(f"{where}: is no kubeconfig")
    context = _entry(config, "contexts", config.get("current-context"), "context", where)
    cluster = _entry(config, "clusters", context.get("cluster"), "cluster", where)
    user = _entry(config, "users", context.get("user"), "user", where)
    if user.get("exec") or user.get("auth-provider"):
        raise AccessError(f"{where}: its user runs a program to log in; name one with a token or a certificate")
    if cluster.get("insecure-skip-tls-verify"):
        raise AccessError(f"{where}: insecure-skip-tls-verify is not supported; give the cluster's CA")
    token_file, token = user.get("tokenFile"), user.get("token")
    server_name = cluster.get("tls-server-name")
    return ApiAccess(
        str(cluster.get("server", "")),
        context=_tls(cluster, user, path.parent, where),
        server_name=str(server_name) if server_name else None,
        token=str(token) if token else None,
        token_file=path.parent / str(token_file) if token_file else None,
        where=where,
    )


def _entry(config: dict[Any, Any], section: str, name: Any, what: str, where: str) -> dict[str, Any]:
    for each in config.get(section) or ():
        if isinstance(each, dict) and each.get("name") == name and name and isinstance(each.get(what), dict):
            found: dict[str, Any] = each[what]
            return found
    raise AccessError(f"{where}: no usable {what} of the current context")


def _tls(cluster: dict[str, Any], user: dict[str, Any], folder: Path, where: str) -> ssl.SSLContext:
    try:
        ca = _pem(cluster, "certificate-authority", folder)
        context = ssl.create_default_context(cadata=ca.decode("ascii") if ca is not None else None)
        certificate, key = _pem(user, "client-certificate", folder), _pem(user, "client-key", folder)
        if certificate is not None and key is not None:
            _load_pair(context, certificate, key)
    except (OSError, ValueError, binascii.Error) as fault:  # SSLError is an OSError
        raise AccessError(f"{where}: a certificate or key cannot be used ({_reason(fault)})") from None
    return context


def _pem(section: dict[str, Any], name: str, folder: Path) -> bytes | None:
    """The content of NAME-data, or of the file NAME, which counts from the kubeconfig's folder."""
    if data := section.get(f"{name}-data"):
        return base64.b64decode(str(data), validate=True)
    if file := section.get(name):
        return (folder / str(file)).read_bytes()
    return None


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL takes a pair from a file only: one that nobody else may read, and that is gone again at once."""
    with tempfile.NamedTemporaryFile(prefix="protector-") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name, password="")  # a key with a passphrase is an error, not a prompt


def _reason(fault: Exception) -> str:
    return getattr(fault, "strerror", None) or getattr(fault, "reason", None) or type(fault).__name__
