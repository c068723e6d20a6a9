"""The protector command: data on stdout, everything else on stderr.

Exit 0: fine; 1: findings or failed checks; 2: usage or internal error.

Thin: each command reads its options, then calls the part of the package that does the work.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import click

from actors.config import SETTINGS, ConfigError, Setting, from_environment, parse_value, settings_from
from web.logs import configure
from web.ours import check_packages

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def fail(text: str, code: int = 2) -> None:
    """Ends the command with one line on stderr."""
    click.echo(f"protector: {text}", err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Which Kubernetes workload can read which Secret, and which one is doing it now."""
    if problem := check_packages():
        fail(problem)


def _with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    for setting in reversed(SETTINGS):
        text = f"{setting.help}  [{setting.variable}]"
        command = click.option(setting.option, setting.attribute, metavar=setting.metavar, help=text)(command)
    return command


def _read_settings(options: dict[str, str | None]) -> Any:
    by_attribute: dict[str, Setting] = {setting.attribute: setting for setting in SETTINGS}
    found = from_environment(os.environ)
    for attribute, text in options.items():
        if text is not None:
            setting = by_attribute[attribute]
            found[attribute] = parse_value(setting, text, setting.option)
    return settings_from(found)


@cli.command()
@_with_settings
def serve(**options: str | None) -> None:
    """Listen to the API server's audit webhook and serve the dashboards. Every option is also an environment variable."""
    from web.app import run_serve
    from web.edge import StartError

    try:
        settings = _read_settings(options)
        configure(settings.log)
        code = run_serve(settings)
    except (ConfigError, StartError) as error:
        fail(str(error))
    else:
        sys.exit(code)


@cli.command()
@click.option("--once", is_flag=True, help="End when the expected chains were corroborated (exit 0) or not (exit 1).")
@click.option(
    "--example",
    default="shop",
    show_default=True,
    help="A shipped example, or a folder with cluster.yaml and story.yaml.",
)
def demo(*, once: bool, example: str) -> None:
    """Show all of it: serve on an example cluster, and a simulated API server that posts to it over TLS."""
    from web.demo import DemoError, example_folder, run_demo

    configure("console")
    try:
        sys.exit(run_demo(example_folder(example), once=once))
    except DemoError as error:
        fail(str(error))


@cli.command()
@click.argument("logs", nargs=-1, required=True, type=FILE, metavar="FILE…")
@click.option(
    "--cluster",
    "clusters",
    multiple=True,
    required=True,
    type=FILE,
    help="Snapshot of the cluster; several in order of time.",
)
@click.option(
    "--expected",
    type=click.Path(exists=True, path_type=Path),
    help="Readers that are expected: a file, or a folder of them.",
)
@click.option("--output", type=click.Choice(["table", "json", "jsonl", "sarif"]), default="table", show_default=True)
def replay(logs: tuple[Path, ...], clusters: tuple[Path, ...], expected: Path | None, output: str) -> None:
    """Run recorded audit logs through the same core, on event time. Exit 1 if a read that is not expected lit a chain."""
    from actors.engine.expected import BadExpected
    from web.expected_file import load_expected
    from web.replay import ReplayError, run_replay, write_replay

    configure("console")
    try:
        result = run_replay(logs, clusters, load_expected(expected))
    except BadExpected as error:
        fail(f"--expected: {error}")
    except ReplayError as error:
        fail(str(error))
    else:
        write_replay(result, output, sys.stdout, clusters)
        sys.exit(1 if result.open else 0)


@cli.command()
@click.option("--cluster", "clusters", multiple=True, required=True, type=FILE, help="Snapshot of the cluster.")
@click.option("--account", metavar="NS/NAME", help="What this ServiceAccount may read.")
@click.option("--secret", metavar="NS/NAME", help="Who may read this Secret.")
@click.option(
    "--queries",
    type=click.File("rb"),
    metavar="FILE|-",
    help="One JSON query a line; one JSON answer a line, in order.",
)
@click.option("--unused", is_flag=True, help="What is granted and was not used in so many days. Exit 1 if anything is.")
@click.option(
    "--narrowest", is_flag=True, help="The narrowest roles that cover what was used, as YAML for kubectl diff."
)
@click.option(
    "--days", type=click.FloatRange(0, min_open=True), help="How far back use counts [default: 30; narrowest: all]."
)
@click.option("--log", "logs", multiple=True, type=FILE, help="Recorded audit logs that say what was used.")
@click.option("--server", metavar="URL", help="A running protector whose history says what was used.")
@click.option("--token-file", type=FILE, help="Its viewer token.")
@click.option("--ca", type=FILE, help="CA of its certificate.")
@click.option(
    "--escalations", is_flag=True, help="What leads to Secrets without reading them; of all accounts, or of --account."
)
def access(
    clusters: tuple[Path, ...],
    account: str | None,
    secret: str | None,
    queries: Any,
    logs: tuple[Path, ...],
    server: str | None,
    token_file: Path | None,
    ca: Path | None,
    days: float | None,
    *,
    unused: bool,
    narrowest: bool,
    escalations: bool,
) -> None:
    """Who may read which Secrets, by which grants, as Kubernetes evaluates RBAC; and what of it was used."""
    from web.access import AccessError, run_access
    from web.ask import AskError, Server
    from web.replay import ReplayError
    from web.rights import run_rights, uses_of_logs, uses_of_server

    configure("console")
    try:
        if not unused and not narrowest:
            if logs or server is not None or days is not None:
                raise AccessError("--log, --server and --days go with --unused or --narrowest")
            run_access(
                clusters, account=account, secret=secret, queries=queries, out=sys.stdout, escalations=escalations
            )
            return
        if (unused and narrowest) or escalations or secret is not None or queries is not None:
            raise AccessError("ask one question: --unused, --narrowest, --escalations, --secret or --queries")
        if bool(logs) is (server is not None):
            raise AccessError("what was used is needed: give either --log or --server")
        asked = (lambda: uses_of_logs(logs)) if logs else (lambda: uses_of_server(Server(server or "", token_file, ca)))
        found = run_rights(clusters, account, asked, days=days, as_roles=narrowest, out=sys.stdout)
    except (AccessError, AskError, ReplayError) as error:
        fail(str(error))
    else:
        sys.exit(1 if found and unused else 0)


def _asks_a_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of commands that ask a running server."""

    @click.option("--server", default="http://127.0.0.1:8080", show_default=True, metavar="URL")
    @click.option("--token-file", type=FILE, help="The viewer token.")
    @click.option("--ca", type=FILE, help="CA of the server's certificate.")
    @click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from web.ask import AskError

        configure("console")
        try:
            return command(*args, **kwargs)
        except AskError as error:
            return fail(str(error))

    return wrapped


@cli.command()
@click.option("--all", "everything", is_flag=True, help="Not only the corroborated ones.")
@_asks_a_server
def chains(*, everything: bool, server: str, token_file: Path | None, ca: Path | None, output: str) -> None:
    """The chains of a running server. Exit 1 if any is corroborated."""
    from web.ask import Server, show_chains

    sys.exit(show_chains(Server(server, token_file, ca), everything=everything, output=output, out=sys.stdout))


@cli.command()
@_asks_a_server
def actors(*, server: str, token_file: Path | None, ca: Path | None, output: str) -> None:
    """The tree of actors of a running server. Exit 1 if any of them is not running."""
    from web.ask import Server, show_actors

    sys.exit(show_actors(Server(server, token_file, ca), output=output, out=sys.stdout))


@cli.command()
@click.option(
    "--expected",
    type=click.Path(exists=True, path_type=Path),
    envvar="PROTECTOR_EXPECTED",
    help="Expected readers: a file, or a folder of them  [PROTECTOR_EXPECTED].",
)
@click.option("--server", default="http://127.0.0.1:8080", show_default=True, metavar="URL")
@click.option("--token-file", type=FILE, help="The viewer token.")
@click.option("--ca", type=FILE, help="CA of the server's certificate.")
@click.option(
    "--audit",
    metavar="URL",
    help="Where a synthetic event is posted, https://HOST:PORT/audit [default: of PROTECTOR_AUDIT_ADDR].",
)
@click.option("--audit-ca", type=FILE, help="CA of the audit listener [default: tls/ca.crt of the state directory].")
@click.option(
    "--ingest-token-file",
    type=FILE,
    help="The ingest token [default: PROTECTOR_INGEST_TOKEN_FILE or PROTECTOR_INGEST_TOKEN].",
)
@click.option("--tls-server-name", metavar="NAME", help="The audit certificate's name, if URL holds none of its names.")
def doctor(
    *,
    expected: Path | None,
    server: str,
    token_file: Path | None,
    ca: Path | None,
    audit: str | None,
    audit_ca: Path | None,
    ingest_token_file: Path | None,
    tls_server_name: str | None,
) -> None:
    """Check a running server: its audit feed, the cluster that it knows, a synthetic event through the whole path, and the readers
    that it is told to expect. Exit 1 if any."""
    from actors.engine.expected import BadExpected
    from web.ask import AskError, Server
    from web.doctor import run_doctor
    from web.probe import ProbeError, target_from

    configure("console")
    try:
        target = target_from(from_environment(os.environ), audit, audit_ca, ingest_token_file, tls_server_name)
        fine = run_doctor(Server(server, token_file, ca), expected, sys.stdout, target)
    except (AskError, BadExpected, ConfigError, ProbeError) as error:
        fail(str(error))
    else:
        sys.exit(0 if fine else 1)


@cli.command("audit-policy")
@click.option("--rules-only", is_flag=True, help="Only the rules, to insert first into a policy that is there.")
def audit_policy(*, rules_only: bool) -> None:
    """The audit policy for kube-apiserver's --audit-policy-file."""
    from web.setup_files import audit_policy as policy
    from web.setup_files import audit_policy_rules

    click.echo(audit_policy_rules() if rules_only else policy(), nl=False)


@cli.command("webhook-config")
@click.option(
    "--server",
    required=True,
    metavar="URL",
    help="Where the API server reaches the audit listener, https://HOST:PORT/audit.",
)
@click.option(
    "--ca", "ca_file", type=FILE, help="CA of the listener's certificate [default: tls/ca.crt of the state directory]."
)
@click.option(
    "--token-file", type=FILE, help="The ingest token [default: PROTECTOR_INGEST_TOKEN_FILE or PROTECTOR_INGEST_TOKEN]."
)
@click.option(
    "--tls-server-name", default=None, metavar="NAME", help="The certificate's name, if URL holds none of its names."
)
@click.option(
    "--client-certificate", metavar="PATH", help="Of the API server, on its machine: in the place of a token."
)
@click.option("--client-key", metavar="PATH", help="The key of that certificate.")
def webhook_config(server: str, client_certificate: str | None, client_key: str | None, **given: Any) -> None:
    """The kubeconfig for kube-apiserver's --audit-webhook-config-file. Where it holds the token, keep it 0600."""
    from web.setup_files import SetupError, webhook_config_from

    try:
        found = from_environment(os.environ)
        client = (client_certificate, client_key)
        click.echo(webhook_config_from(found, server, **given, client=client), nl=False)
    except (ConfigError, SetupError) as error:
        fail(str(error))


@cli.command()
@click.option(
    "--image",
    metavar="IMAGE",
    help="A container image whose entry point is this command [default: kube-protector of this version].",
)
@click.option("--namespace", default="protector", show_default=True, metavar="NAME", help="Where it runs.")
@click.option("--storage", default="1Gi", show_default=True, metavar="SIZE", help="The volume for its state.")
def manifests(*, image: str | None, namespace: str, storage: str) -> None:
    """What to apply so that protector runs in the cluster that it watches: no permission on Secrets among it."""
    from web.manifests import ManifestError
    from web.manifests import manifests as documents

    try:
        image = image or f"kube-protector:{installed_version('kube-protector')}"
        click.echo(documents(image, namespace=namespace, storage=storage), nl=False)
    except ManifestError as error:
        fail(str(error))


@cli.command()
def version() -> None:
    """The version of protector."""
    click.echo(f"protector {installed_version('kube-protector')}")


def main() -> None:
    """The entry point of the protector command. What nobody foresaw is shown whole and ends with 2: 1 is kept for findings."""
    try:
        cli.main(prog_name="protector")
    except Exception:  # noqa: BLE001 - the last handler of the process: shows the traceback, which is what Python would do
        traceback.print_exc()
        sys.exit(2)


if __name__ == "__main__":
    main()
