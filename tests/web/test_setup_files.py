"""The files for kube-apiserver: parsed back, field by field, also with hostile values."""

from __future__ import annotations

import base64

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from web.setup_files import SetupError, audit_policy, audit_policy_rules, webhook_config, webhook_config_from

CA = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmg\n-----END CERTIFICATE-----\n"
URL = "https://protector.example:9443/audit"


def test_policy_records_reads_of_secrets_by_accounts_and_nothing_else():
    """The first rule matches what protector listens for, the last turns everything else off."""
    policy = yaml.safe_load(audit_policy())
    assert policy == {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "rules": [
            {
                "level": "Metadata",
                "omitStages": ["RequestReceived"],
                "verbs": ["get", "list", "watch"],
                "userGroups": ["system:serviceaccounts"],
                "resources": [{"group": "", "resources": ["secrets"]}],
            },
            {"level": "None"},
        ],
    }


def test_rules_alone_are_a_list_to_put_first():
    """What is inserted into an existing policy is the first rule alone, without the one that turns the rest off."""
    assert yaml.safe_load(audit_policy())["rules"][:1] == yaml.safe_load(audit_policy_rules())


def test_no_stage_need_be_omitted():
    """A policy may write RequestReceived too."""
    assert yaml.safe_load(audit_policy(()))["rules"][0]["omitStages"] == []


@pytest.mark.parametrize("stage", ["ResponseStarted", "ResponseComplete", "Nonsense", '"] evil: ["'])
def test_a_stage_that_is_needed_or_unknown_is_refused(stage):
    """Leaving out what says that a read happened, or a word that is no stage, is one clear error."""
    with pytest.raises(SetupError, match=r"stage|omitted"):
        audit_policy([stage])


def test_webhook_config_holds_server_ca_token_and_name():
    """Everything kube-apiserver needs is inside the one file, and its context is chosen."""
    config = yaml.safe_load(webhook_config(URL, CA, "s3cret", "protector.internal"))
    assert {
        "server": URL,
        "certificate-authority-data": base64.b64encode(CA.encode()).decode(),
        "tls-server-name": "protector.internal",
    } == config["clusters"][0]["cluster"]
    assert config["users"][0]["user"] == {"token": "s3cret"}
    context = next(c for c in config["contexts"] if c["name"] == config["current-context"])
    assert {"cluster": config["clusters"][0]["name"], "user": config["users"][0]["name"]} == context["context"]
    assert (config["apiVersion"], config["kind"]) == ("v1", "Config")


def test_without_a_tls_name_the_field_is_absent():
    """An empty tls-server-name would be another name to verify, so it is not written."""
    assert "tls-server-name" not in yaml.safe_load(webhook_config(URL, CA, "t"))["clusters"][0]["cluster"]


def test_comments_name_the_flags():
    """The reader learns from the file itself which flags belong to it."""
    text = webhook_config(URL, CA, "t") + audit_policy()
    for flag in ("--audit-webhook-config-file", "--audit-webhook-batch-max-wait", "--audit-policy-file"):
        assert flag in text


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1), st.text(min_size=1))
def test_no_token_or_name_breaks_out(token, name):
    """Whatever printable token or name is given comes back as itself and adds nothing to the document, or is refused."""
    try:
        config = yaml.safe_load(webhook_config(URL, CA, token, name))
    except SetupError:
        assert not (name.isascii() and name.isprintable())
        return
    assert {"token": token} == config["users"][0]["user"]
    assert name == config["clusters"][0]["cluster"]["tls-server-name"]
    assert {"apiVersion", "kind", "clusters", "users", "contexts", "current-context"} == set(config)


@pytest.mark.parametrize(
    ("url", "ca", "token"),
    [
        # the URL
        ("http://protector:9443/audit", CA, "t"),
        ("protector:9443", CA, "t"),
        ("https://", CA, "t"),
        ("https://protector:port/audit", CA, "t"),
        ("https://user:pw@protector/audit", CA, "t"),
        ("https://protector/audit?token=t", CA, "t"),
        ("https://protector/behavior", CA, "t"),
        ("https://protector/audit\nserver: evil", CA, "t"),
        # the CA
        (URL, "", "t"),
        (URL, "not PEM", "t"),
        (URL, CA + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "t"),
        # the token
        (URL, CA, ""),
        (URL, CA, "two words"),
        (URL, CA, "line\nbreak"),
        (URL, CA, "clé"),
    ],
)
def test_what_cannot_work_is_refused(url, ca, token):
    """A file that kube-apiserver could not use is never written."""
    with pytest.raises(SetupError):
        webhook_config(url, ca, token)


def test_ca_and_token_come_from_the_settings_of_serve(tmp_path):
    """Without options, the CA is the one in the state directory and the token the first line of the token file."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.crt").write_text(CA)
    (tmp_path / "token").write_text("\nfirst\nsecond\n")
    settings_ = {"state_dir": tmp_path, "ingest_token_file": tmp_path / "token"}
    config = yaml.safe_load(webhook_config_from(settings_, URL, None, None, None))
    assert config["users"][0]["user"] == {"token": "first"}


def test_files_that_are_named_win(tmp_path):
    """Options come before settings."""
    (tmp_path / "ca").write_text(CA)
    (tmp_path / "token").write_text("named")
    config = yaml.safe_load(
        webhook_config_from({"ingest_token": "set"}, URL, tmp_path / "ca", tmp_path / "token", None)
    )
    assert config["users"][0]["user"] == {"token": "named"}


def test_missing_ca_and_token_are_one_line(tmp_path):
    """A missing file is named, in one line."""
    with pytest.raises(SetupError, match=r"tls/ca\.crt") as missing:
        webhook_config_from({"state_dir": tmp_path}, URL, None, None, None)
    assert "\n" not in str(missing.value)
    (tmp_path / "ca").write_text(CA)
    with pytest.raises(SetupError, match="no token"):
        webhook_config_from({}, URL, tmp_path / "ca", None, None)


PAIR = ("/etc/kubernetes/pki/protector.crt", "/etc/kubernetes/pki/protector.key")


@pytest.mark.parametrize(
    ("token_file", "expected"),
    [(None, {}), ("token", {"token": "named"})],
)
def test_a_client_certificate_stands_in_the_place_of_the_token(tmp_path, token_file, expected):
    """The token of the settings is left out then; one that is named goes in beside it."""
    (tmp_path / "ca").write_text(CA)
    (tmp_path / "token").write_text("named")
    named = None if token_file is None else tmp_path / token_file
    text = webhook_config_from({"ingest_token": "set"}, URL, tmp_path / "ca", named, None, PAIR)
    pair = {"client-certificate": PAIR[0], "client-key": PAIR[1]}
    assert yaml.safe_load(text)["users"][0]["user"] == expected | pair
    assert ("It holds the token" in text) is bool(expected)


@pytest.mark.parametrize("pair", [(PAIR[0], None), (None, PAIR[1]), ("relative.crt", PAIR[1]), (PAIR[0], "/a\nb")])
def test_half_a_client_certificate_is_refused(tmp_path, pair):
    """As is a path that kube-apiserver would not find."""
    (tmp_path / "ca").write_text(CA)
    with pytest.raises(SetupError):
        webhook_config_from({"ingest_token": "set"}, URL, tmp_path / "ca", None, None, pair)
