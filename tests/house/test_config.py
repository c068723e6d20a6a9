"""Settings: every way in which they can be wrong is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.config import SETTINGS, Address, ConfigError, Settings, from_environment, is_injected, settings_from


def settings(**environment: str) -> Settings:
    return settings_from(from_environment({f"PROTECTOR_{name}": value for name, value in environment.items()}))


def test_defaults_are_those_of_the_contract() -> None:
    """Nothing set gives the defaults that the outside contract names."""
    s = settings()
    assert (s.audit_addr, s.dashboard_addr, s.ttl_s, s.rate_per_s, s.rate_burst) == (
        None,
        Address("127.0.0.1", 8080),
        300.0,
        500.0,
        1000,
    )
    assert (s.max_body_bytes, s.body_timeout_s, s.max_observations, s.history_days) == (
        48 * 1024 * 1024,
        25.0,
        100_000,
        90,
    )
    assert s.store_path == Path(".protector/protector.db")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        # misspelt
        ("TLL_S", "300", "PROTECTOR_TTL_S"),
        ("AUDIT_ADR", "x:1", "PROTECTOR_AUDIT_ADDR"),
        ("INGEST_TOKENFILE", "x", "PROTECTOR_INGEST_TOKEN_FILE"),
        ("ZZZZZZ", "1", "no setting"),
        # values
        ("TTL_S", "soon", "a number of seconds"),
        ("TTL_S", "nan", "between"),
        ("TTL_S", "0", "between"),
        ("RATE_BURST", "1.5", "whole number"),
        ("AUDIT_ADDR", "9443", "host:port"),
        ("AUDIT_ADDR", "x:99999", "host:port"),
        ("LOG", "xml", "console, json"),
        ("PLAINTEXT", "yes", "0 or 1"),
        ("STORE", "postgres://x", "sqlite:///path"),
        ("STORE", "redis://x", "not available"),
        ("CLUSTER_NAME", "a\nb", "cannot be printed"),
        ("LAG_ALLOWANCE", "oke=5", "eks, aks, gke"),
        ("LAG_ALLOWANCE", "aks", "LOG=SECONDS"),
        ("LAG_ALLOWANCE", "aks=1,aks=2", "once"),
        ("LAG_ALLOWANCE", "aks=-1", "between"),
        # must go together
        ("AUDIT_ADDR", "0.0.0.0:9443", "PROTECTOR_INGEST_TOKEN"),
        ("BEHAVIOR_ADDR", "0.0.0.0:9444", "PROTECTOR_BEHAVIOR_TOKEN"),
        ("DASHBOARD_ADDR", "0.0.0.0:8080", "PROTECTOR_VIEWER_TOKEN"),
        ("TLS_CERT", "/x", "PROTECTOR_TLS_KEY"),
        ("ACTOR_ACTIONS", "1", "PROTECTOR_OPERATOR_TOKEN"),
        ("ACTOR_ACTIONS", "on", "0 or 1"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(variable: str, value: str, says: str) -> None:
    """The line names the setting, and what would be right."""
    with pytest.raises(ConfigError) as error:
        settings(**{variable: value})
    text = str(error.value)
    assert says in text
    assert "\n" not in text


def test_a_token_is_never_shown() -> None:
    """A bad token is refused without printing it."""
    with pytest.raises(ConfigError) as error:
        settings(INGEST_TOKEN="päss-word")
    assert "ss-word" not in str(error.value)


def test_kubernetes_service_variables_are_ignored() -> None:
    """What Kubernetes injects for Services called protector and protector-audit stops nothing."""
    injected = {
        "SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "443", "SERVICE_PORT_HTTPS": "443", "PORT": "tcp://10.0.0.1:443",
        "PORT_443_TCP": "tcp://10.0.0.1:443", "PORT_443_TCP_PROTO": "tcp", "PORT_443_TCP_PORT": "443",
        "PORT_443_TCP_ADDR": "10.0.0.1", "AUDIT_SERVICE_HOST": "10.0.0.2", "AUDIT_PORT": "tcp://10.0.0.2:443",
        "AUDIT_PORT_443_TCP_ADDR": "10.0.0.2",
    }  # fmt: skip
    assert settings(**injected) == settings()


def test_a_port_that_nobody_injected_is_a_mistake() -> None:
    """A person who writes PROTECTOR_AUDIT_PORT=9443 is told."""
    assert not is_injected("PROTECTOR_AUDIT_PORT", "9443")
    with pytest.raises(ConfigError, match="no setting"):
        settings(AUDIT_PORT="9443")


def test_every_setting_is_a_field_and_every_field_a_setting() -> None:
    """The table and the record cannot drift apart."""
    assert {s.attribute for s in SETTINGS} == set(Settings.__struct_fields__)


def test_each_log_has_an_allowance_of_its_own() -> None:
    """In seconds; none for those that are not named."""
    assert settings(LAG_ALLOWANCE="aks=600, gke=30.5").lags_s == {"aks": 600.0, "gke": 30.5}
    assert settings().lags_s == {}


def test_an_empty_value_counts_as_unset() -> None:
    """A manifest's optional value may be empty."""
    assert settings(TTL_S="", CLUSTER="") == settings()


@pytest.mark.parametrize(
    ("text", "host", "loopback"),
    [
        ("127.0.0.1:1", "127.0.0.1", True),
        ("[::1]:1", "::1", True),
        ("localhost:1", "localhost", True),
        ("0.0.0.0:1", "0.0.0.0", False),
        ("host.example:1", "host.example", False),
    ],
)
def test_addresses(text: str, host: str, loopback: bool) -> None:
    """Hosts in every form, and which of them only this machine reaches."""
    s = settings(AUDIT_ADDR=text, INGEST_TOKEN="t")
    assert s.audit_addr is not None
    assert (s.audit_addr.host, s.audit_addr.is_loopback) == (host, loopback)
