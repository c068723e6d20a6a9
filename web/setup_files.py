"""The two files that point a kube-apiserver at protector: an audit policy, and the kubeconfig of its audit webhook.

Pure, but for `webhook_config_from`, which reads the CA and the token from where the command line says they are.
Rules: kubernetes.io/docs/tasks/debug/debug-cluster/audit; k8s.io/apiserver pkg/audit/policy (the first rule that matches
decides) and pkg/server/options/audit.go. Every value is written as a JSON string, which is a YAML string that nothing in it
can end.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = ["SetupError", "audit_policy", "audit_policy_rules", "webhook_config", "webhook_config_from"]

STAGES: Final = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
"""The stages of an audit event (audit.k8s.io/v1)."""
CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
PRIVATE: Final = "PRIVATE KEY"


class SetupError(Exception):
    """A file or value that cannot be used. The text is one line."""


def audit_policy_rules(omit_stages: Sequence[str] = ("RequestReceived",)) -> str:
    """The one rule that protector needs (YAML, a list item): to be the first of `rules:` in a policy that is there already.

    `omit_stages`: stages that are not written; ResponseStarted and ResponseComplete are both needed and refused here.
    """
    return (
        "# First in `rules:`: the first rule that matches a request decides.\n"
        "# Metadata is enough, and keeps the values of Secrets out of the audit log.\n"
        "# Allowed and denied reads alike; ServiceAccounts only, people and nodes are left to the rules below.\n"
        "- level: Metadata\n"
        f"  omitStages: {_stages(omit_stages)}\n"
        '  verbs: ["get", "list", "watch"]\n'
        '  userGroups: ["system:serviceaccounts"]\n'
        "  resources:\n"
        '  - group: ""\n'
        '    resources: ["secrets"]\n'
    )


def audit_policy(omit_stages: Sequence[str] = ("RequestReceived",)) -> str:
    """A whole audit policy (YAML) for --audit-policy-file: reads of Secrets by ServiceAccounts, and nothing else."""
    return (
        "# The audit policy of protector: reads of Secrets by ServiceAccounts, without their values, and nothing else.\n"
        "# kube-apiserver:  --audit-policy-file=THIS FILE\n"
        "#                  --audit-webhook-config-file=...      (protector webhook-config)\n"
        "#                  --audit-webhook-batch-max-wait=1s    (at most 5s; the default of 30s makes every answer late)\n"
        "apiVersion: audit.k8s.io/v1\n"
        "kind: Policy\n"
        "rules:\n"
        f"{audit_policy_rules(omit_stages)}"
        "- level: None\n"
    )


def _stages(omit_stages: Sequence[str]) -> str:
    for stage in omit_stages:
        if stage not in STAGES:
            raise SetupError(f"{stage!r} is no stage of an audit event; stages are {', '.join(STAGES)}")
        if stage in ("ResponseStarted", "ResponseComplete"):
            raise SetupError(
                f"{stage} cannot be omitted: it says that a read was allowed, or that a watch began or ended"
            )
    return json.dumps(list(omit_stages))


def webhook_config(
    server_url: str,
    ca_pem: str,
    token: str | None,
    tls_server_name: str | None = None,
    client: tuple[str, str] | None = None,
) -> str:
    """The kubeconfig (YAML) for --audit-webhook-config-file, with CA, token and server name inside.

    `client`: the paths of a client certificate and of its key on the API server's machine, which may stand in the place of a
    token (None); they are not read here, and kube-apiserver takes up a renewed one by itself.
    `server_url`: https://HOST:PORT/audit as the API server reaches it. `tls_server_name`: the name in the certificate, where
    the URL holds one that is not in it. SetupError for a URL that is not https, has credentials, a query or a fragment
    (client-go drops those), for a CA that is no PEM certificate, and for an empty token or one with spaces.
    """
    _check_url(server_url)
    if PRIVATE in ca_pem:
        raise SetupError("the CA file holds a private key; only the certificate belongs into this file")
    if CERTIFICATE.search(ca_pem) is None:
        raise SetupError("the CA is no PEM certificate")
    if token is None and client is None:
        raise SetupError("neither a token nor a client certificate")
    if token is not None and (not token or not token.isascii() or not token.isprintable() or " " in token):
        raise SetupError("the token is empty, or holds what an HTTP header cannot carry")
    if tls_server_name is not None and not (
        tls_server_name.isascii() and tls_server_name.isprintable() and tls_server_name
    ):
        raise SetupError("the TLS server name is empty or no DNS name")
    name_line = f"    tls-server-name: {_quoted(tls_server_name)}\n" if tls_server_name is not None else ""
    holds = "" if token is None else " It holds the token: keep it readable for kube-apiserver alone (0600)."
    user = "" if token is None else f"    token: {_quoted(token)}\n"
    if client is not None:
        user += f"    client-certificate: {_client_path(client[0])}\n    client-key: {_client_path(client[1])}\n"
    return (
        f"# The audit webhook of protector.{holds}\n"
        "# kube-apiserver:  --audit-webhook-config-file=THIS FILE\n"
        "#                  --audit-webhook-batch-max-wait=1s    (at most 5s; the default of 30s makes every answer late)\n"
        "#                  --audit-policy-file=...              (protector audit-policy)\n"
        "# kube-apiserver reads it once, when it starts, and resolves the host with its node's resolver, not the cluster's.\n"
        "apiVersion: v1\n"
        "kind: Config\n"
        "clusters:\n"
        "- name: protector\n"
        "  cluster:\n"
        f"    server: {_quoted(server_url)}\n"
        f"    certificate-authority-data: {_quoted(base64.b64encode(ca_pem.encode()).decode())}\n"
        f"{name_line}"
        "users:\n"
        "- name: kube-apiserver\n"
        "  user:\n"
        f"{user}"
        "contexts:\n"
        "- name: protector\n"
        "  context:\n"
        "    cluster: protector\n"
        "    user: kube-apiserver\n"
        "current-context: protector\n"
    )


def _check_url(server_url: str) -> None:
    try:
        parts = urlsplit(server_url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise SetupError(f"{server_url!r} is no URL: {error}") from error
    if parts.scheme != "https":
        raise SetupError(f"{server_url!r} is not https; over http kube-apiserver never sends its token")
    if not host or not server_url.isascii() or not server_url.isprintable() or " " in server_url:
        raise SetupError(f"{server_url!r} names no host")
    if parts.username is not None or parts.query or parts.fragment:
        raise SetupError(f"{server_url!r} must hold no credentials, query or fragment; kube-apiserver drops them")
    if parts.path.rstrip("/") not in ("", "/audit"):
        raise SetupError(f"{server_url!r} leads to {parts.path!r}; the audit listener answers / and /audit")


def _client_path(path: str) -> str:
    if not path.startswith("/") or not path.isprintable():
        raise SetupError(f"{path!r} is no absolute path; kube-apiserver would look for it beside the kubeconfig")
    return _quoted(path)


def _quoted(text: str) -> str:
    return json.dumps(text)


def webhook_config_from(
    settings: Mapping[str, Any],
    server_url: str,
    ca_file: Path | None,
    token_file: Path | None,
    tls_server_name: str | None,
    client: tuple[str | None, str | None] = (None, None),
) -> str:
    """`webhook_config` with CA and token from files, or from where `serve` with these settings (by attribute) has them.

    With `client` (certificate and key, both or neither) there is a token only where `token_file` names it.

    The CA defaults to tls/ca.crt in the state directory, the token to the first line of its file, or the token itself.
    SetupError where one of them is missing.
    """
    if ca_file is None:
        ca_file = Path(settings.get("state_dir") or ".protector") / "tls" / "ca.crt"
        hint = "; serve makes it at its first start, or name one with --ca"
    else:
        hint = ""
    ca_pem = _read(ca_file, "CA certificate", hint)
    certificate, key = client
    if (certificate is None) != (key is None):
        raise SetupError("--client-certificate and --client-key: both or neither")
    pair = (certificate, key) if certificate is not None and key is not None else None
    return webhook_config(server_url, ca_pem, _token_from(settings, token_file, pair is None), tls_server_name, pair)


def _token_from(settings: Mapping[str, Any], token_file: Path | None, is_needed: bool) -> str | None:
    if token_file is None and not is_needed:
        return None
    token_file = token_file or settings.get("ingest_token_file")
    if token_file is not None:
        lines = _read(Path(token_file), "token file", "").split("\n")
        token = next((line.strip() for line in lines if line.strip()), "")
    else:
        token = settings.get("ingest_token") or ""
        if not token:
            raise SetupError(
                "no token: give --token-file, or set PROTECTOR_INGEST_TOKEN_FILE or PROTECTOR_INGEST_TOKEN; "
                "or name a client certificate"
            )
    return str(token)


def _read(path: Path, what: str, hint: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SetupError(f"cannot read the {what} {path}: {reason}{hint}") from error
