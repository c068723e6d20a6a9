"""Every setting of protector: one frozen record, read from PROTECTOR_* variables and `serve` options, validated before anything starts.

A variable that is no setting, or a value that cannot be used, is one ConfigError line naming the setting and the nearest right one.
The variables that Kubernetes injects for a Service called protector (or protector-something) are none of ours and ignored.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from actors.evidence import LOGS

PREFIX: Final = "PROTECTOR_"
LAG_MAX_S: Final = 3_600.0
"""Largest allowance for a log that lags: so much longer everything that went is remembered."""

_INJECTED_HOST = re.compile(r"PROTECTOR_(?:[A-Z0-9_]+_)?SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)")
_INJECTED_PORT = re.compile(r"PROTECTOR_(?:[A-Z0-9_]+_)?PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?")


class ConfigError(Exception):
    """A setting cannot be used. The text is one line for the operator: which setting, what is wrong, what would be right."""


class Address(Struct, frozen=True):
    """Where a listener binds."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Settings(Struct, frozen=True, kw_only=True):
    """What `serve` runs with. `_s` are seconds, `_bytes` bytes; None means off or not given. The table below describes each."""

    audit_addr: Address | None = None
    behavior_addr: Address | None = None
    audit_log: Path | None = None
    dashboard_addr: Address = Address("127.0.0.1", 8080)
    ingest_token: str | None = None
    ingest_token_file: Path | None = None
    behavior_token: str | None = None
    behavior_token_file: Path | None = None
    viewer_token: str | None = None
    viewer_token_file: Path | None = None
    actor_actions: bool = False
    operator_token: str | None = None
    operator_token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    tls_client_names: tuple[str, ...] = ()
    tls_names: tuple[str, ...] = ()
    plaintext: bool = False
    cluster: str = "none"
    store: str = ""
    state_dir: Path = Path(".protector")
    ttl_s: float = 300.0
    rate_per_s: float = 500.0
    rate_burst: int = 1000
    max_body_bytes: int = 48 << 20
    body_timeout_s: float = 25.0
    max_observations: int = 100_000
    history_days: int = 90
    cluster_name: str = ""
    heartbeat: bool = True
    log: str = "console"
    expected: Path | None = None
    burst_secrets: int = 20
    first_read_after_s: float = 86400.0
    lag_allowance: tuple[tuple[str, float], ...] = ()

    @property
    def lags_s(self) -> dict[str, float]:
        """How much later the log of a managed cluster may come, in seconds, by its name; one that is not named: not at all."""
        return dict(self.lag_allowance)

    @property
    def has_client_certificates_only(self) -> bool:
        """Whether the audit webhook's senders have no token, but certificates of TLS_CLIENT_CA."""
        has_token = self.ingest_token is not None or self.ingest_token_file is not None
        return self.tls_client_ca is not None and not self.plaintext and not has_token

    @property
    def store_path(self) -> Path | None:
        """The SQLite file; None for the memory store."""
        if self.store == "memory":
            return None
        return Path(self.store.removeprefix("sqlite:///")) if self.store else self.state_dir / "protector.db"


class Setting(Struct, frozen=True):
    """One row of the table: the variable is PREFIX + `env`, the `serve` option the same in kebab case."""

    env: str
    parse: Callable[[str], Any]
    help: str
    metavar: str

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.env

    @property
    def attribute(self) -> str:
        """The field of Settings."""
        return self.env.lower()

    @property
    def option(self) -> str:
        """The option of `protector serve`."""
        return "--" + self.env.lower().replace("_", "-")


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("not host:port, such as 0.0.0.0:9443")
    return Address(host, int(port))


def _number(text: str, least: float, most: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"not {what}") from None
    if not least <= value <= most:  # NaN is not between either
        raise ValueError(f"not between {least:g} and {most:g}")
    return value


def _seconds(least: float, most: float) -> Callable[[str], float]:
    return lambda text: _number(text, least, most, "a number of seconds, such as 300")


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = _number(text, least, most, "a whole number")
        if value != int(value):
            raise ValueError("not a whole number")
        return int(value)

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"not one of {', '.join(choices)}")
        return text

    return parse


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("not 0 or 1")
    return text == "1"


def _store(text: str) -> str:
    if text == "memory" or (text.startswith("sqlite:///") and len(text) > len("sqlite:///")):
        return text
    if urlsplit(text).scheme in ("redis", "rediss"):
        raise ValueError("a Redis store is not available in this version; use sqlite:///path or memory")
    raise ValueError("not memory or sqlite:///path")


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return text


def _token(text: str) -> str:
    if not text.strip():
        raise ValueError("empty")
    if not text.strip().isascii() or not text.strip().isprintable():
        raise ValueError("a token is printable ASCII")
    return text.strip()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _lags(text: str) -> tuple[tuple[str, float], ...]:
    found: dict[str, float] = {}
    for part in _names(text):
        log, equals, seconds = part.partition("=")
        if log.strip() not in LOGS or not equals or log.strip() in found:
            raise ValueError(f"not LOG=SECONDS, with each log of {', '.join(LOGS)} once at most")
        found[log.strip()] = _number(seconds, 0, LAG_MAX_S, "a number of seconds")
    return tuple(found.items())


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("AUDIT_ADDR", _address, "where the API server's audit webhook posts to; unset: off", "HOST:PORT"),
    Setting("BEHAVIOR_ADDR", _address, "where runtime agents post behaviors to; unset: off", "HOST:PORT"),
    Setting("AUDIT_LOG", Path, "the API server's audit log as a file, followed through rotation; unset: off", "FILE"),
    Setting("DASHBOARD_ADDR", _address, "dashboards, API, metrics and health", "HOST:PORT"),
    Setting("INGEST_TOKEN", _token, "the audit webhook's bearer token", "TOKEN"),
    Setting(
        "INGEST_TOKEN_FILE", Path, "a file with one token a line; wins over the token, re-read when it changes", "FILE"
    ),
    Setting("BEHAVIOR_TOKEN", _token, "the runtime agents' bearer token", "TOKEN"),
    Setting("BEHAVIOR_TOKEN_FILE", Path, "a file with one token a line", "FILE"),
    Setting("VIEWER_TOKEN", _token, "who may see the dashboards; needed beyond loopback", "TOKEN"),
    Setting("VIEWER_TOKEN_FILE", Path, "a file with one token a line", "FILE"),
    Setting("ACTOR_ACTIONS", _flag, "1: an operator may restart, stop and kill actors from the dashboard", "0|1"),
    Setting("OPERATOR_TOKEN", _token, "who may do so; asked for with every action", "TOKEN"),
    Setting("OPERATOR_TOKEN_FILE", Path, "a file with one token a line", "FILE"),
    Setting("TLS_CERT", Path, "the certificate (PEM); unset: a local CA in the state directory makes one", "FILE"),
    Setting("TLS_KEY", Path, "its key (PEM)", "FILE"),
    Setting("TLS_CLIENT_CA", Path, "a certificate of this CA counts as the audit webhook's token", "FILE"),
    Setting("TLS_CLIENT_NAMES", _names, "whose of them; unset: every one that this CA signed", "NAME,…"),
    Setting("TLS_NAMES", _names, "more names and addresses for the self-made certificate", "NAME,…"),
    Setting("PLAINTEXT", _flag, "1: no TLS on ingest (an API server sends no token over http)", "0|1"),
    Setting(
        "CLUSTER",
        _text,
        "where the cluster's objects come from: kubernetes (the API), a file of kubectl get -o json|yaml, or none",
        "kubernetes|FILE|none",
    ),
    Setting("STORE", _store, "memory, or sqlite:///path (default: in the state directory)", "URL"),
    Setting("STATE_DIR", Path, "what has to survive a restart", "DIR"),
    Setting("TTL_S", _seconds(1, 1e9), "how long a read is evidence of reading now", "SECONDS"),
    Setting(
        "RATE_PER_S", lambda t: _number(t, 0.01, 1e6, "a number"), "requests a second for each credential and peer", "N"
    ),
    Setting("RATE_BURST", _whole(1, 10**6), "requests at once for each credential and peer", "N"),
    Setting("MAX_BODY_BYTES", _whole(1024, 1 << 30), "largest body", "BYTES"),
    Setting("BODY_TIMEOUT_S", _seconds(0.1, 3600), "how long a body may take to arrive", "SECONDS"),
    Setting("MAX_OBSERVATIONS", _whole(1, 10**7), "how many observations the window holds", "N"),
    Setting("HISTORY_DAYS", _whole(1, 3660), "how long history is kept", "DAYS"),
    Setting("CLUSTER_NAME", _text, "the cluster's name in the flip log and the pages", "NAME"),
    Setting(
        "HEARTBEAT",
        _flag,
        "0: with a live cluster, do not ask once a minute for a Secret to see the denial come back",
        "0|1",
    ),
    Setting("LOG", _one_of("console", "json"), "form of the log on stderr", "console|json"),
    Setting("EXPECTED", Path, "a YAML file of the readers that are expected, read at the start", "FILE"),
    Setting(
        "BURST_SECRETS", _whole(2, 10**6), "so many distinct Secrets of one account in the window are a burst", "N"
    ),
    Setting(
        "FIRST_READ_AFTER_S",
        _seconds(0, 1e9),
        "how long history has to reach back before a read is called the first",
        "SECONDS",
    ),
    Setting(
        "LAG_ALLOWANCE",
        _lags,
        "how much later than an API server's the log of a managed cluster may come",
        "LOG=SECONDS,…",
    ),
)


_BY_ENV: Final = {setting.env: setting for setting in SETTINGS}


def is_injected(variable: str, value: str) -> bool:
    """Whether Kubernetes put this variable there for a Service (docker-links form of environment variables)."""
    if _INJECTED_HOST.fullmatch(variable):
        return True
    if match := _INJECTED_PORT.fullmatch(variable):
        return (
            match[0].endswith(("_PROTO", "_PORT", "_ADDR"))
            and not match[0].endswith("PROTECTOR_PORT")
            and ("_TCP_" in variable or "_UDP_" in variable or "_SCTP_" in variable)
        ) or value.startswith(("tcp://", "udp://", "sctp://"))
    return False


def parse_value(setting: Setting, text: str, called: str) -> Any:
    """The value of one setting; ConfigError names it as the operator wrote it (`called`: the variable or the option)."""
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = "" if "TOKEN" in setting.env and not setting.env.endswith("_FILE") else f" {text[:80]!r}:"
        raise ConfigError(f"{called}:{shown} {error}") from None


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The fields that PROTECTOR_* variables set. An empty value counts as unset, as in a manifest's optional value."""
    found: dict[str, Any] = {}
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX):
            continue
        setting = _BY_ENV.get(variable.removeprefix(PREFIX))
        if setting is None:
            if is_injected(variable, value):
                continue
            nearest = difflib.get_close_matches(variable, [s.variable for s in SETTINGS], n=1, cutoff=0.5)
            raise ConfigError(f"{variable[:80]!r} is no setting" + (f"; did you mean {nearest[0]}?" if nearest else ""))
        if value:
            found[setting.attribute] = parse_value(setting, value, variable)
    return found


def settings_from(found: Mapping[str, Any]) -> Settings:
    """The whole record, checked for what must go together. ConfigError where something is missing."""
    settings = Settings(**found)
    for addr, token, listener in (
        (settings.audit_addr, "INGEST_TOKEN", "audit"),
        (settings.behavior_addr, "BEHAVIOR_TOKEN", "behavior"),
    ):
        inline, file = getattr(settings, token.lower()), getattr(settings, f"{token.lower()}_file")
        if listener == "audit" and settings.has_client_certificates_only:
            continue
        if addr is not None and inline is None and file is None:
            raise ConfigError(
                f"the {listener} listener on {addr} needs a token: set {PREFIX}{token} or {PREFIX}{token}_FILE"
            )
    if not settings.dashboard_addr.is_loopback and settings.viewer_token is None and settings.viewer_token_file is None:
        raise ConfigError(
            f"the dashboard on {settings.dashboard_addr} is reachable from other machines and needs a token: "
            f"set {PREFIX}VIEWER_TOKEN or {PREFIX}VIEWER_TOKEN_FILE, or bind it to 127.0.0.1"
        )
    if settings.actor_actions and settings.operator_token is None and settings.operator_token_file is None:
        raise ConfigError(
            f"{PREFIX}ACTOR_ACTIONS=1 needs an operator's token: set {PREFIX}OPERATOR_TOKEN or {PREFIX}OPERATOR_TOKEN_FILE"
        )
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigError(f"{PREFIX}TLS_CERT and {PREFIX}TLS_KEY go together: set both or neither")
    if settings.tls_client_names and settings.tls_client_ca is None:
        raise ConfigError(f"{PREFIX}TLS_CLIENT_NAMES needs {PREFIX}TLS_CLIENT_CA: whose certificates those are")
    return settings
