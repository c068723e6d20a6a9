"""The API server's reason, read quote by quote."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.evidence import GrantName, ObjectName
from actors.parser.reason import named_grants, unquote

ROLE, CLUSTER_ROLE = ObjectName("Role", "ns", "r"), ObjectName("ClusterRole", None, "r")


def in_namespace(name: str, role: ObjectName = ROLE) -> GrantName:
    return GrantName(ObjectName("RoleBinding", "ns", name), role)


@pytest.mark.parametrize(
    ("reason", "named"),
    [
        # the three forms, and every subject
        ('RBAC: allowed by RoleBinding "b/ns" of Role "r" to ServiceAccount "sa/ns"', in_namespace("b")),
        ('RBAC: allowed by RoleBinding "b/ns" of ClusterRole "r" to User "u"', in_namespace("b", CLUSTER_ROLE)),
        (
            'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "system:serviceaccounts:ns"',
            GrantName(ObjectName("ClusterRoleBinding", None, "b"), CLUSTER_ROLE),
        ),
        # names as Go prints them
        (
            r'RBAC: allowed by RoleBinding "tab\tname 170/ns" of Role "odd \"name\" 13" to ServiceAccount "sa/ns"',
            in_namespace("tab\tname 170", ObjectName("Role", "ns", 'odd "name" 13')),
        ),
        (r'RBAC: allowed by RoleBinding "a\\/ns" of Role "r" to User "\""', in_namespace("a\\")),
        (
            r'RBAC: allowed by RoleBinding "\a\b\f\n\r\v\x00\x7f\u200b\U000e0001é/ns" of Role "r" to User "u"',
            in_namespace("\a\b\f\n\r\v\x00\x7f\u200b\U000e0001é"),
        ),
        # the namespace is behind the last slash
        ('RBAC: allowed by RoleBinding "a/b/ns" of Role "r" to User "u"', in_namespace("a/b")),
        # names that hold the words around them
        (
            r'RBAC: allowed by RoleBinding "x\" of Role \"admin\" to User \"y/ns" of Role "r" to User "u"',
            in_namespace('x" of Role "admin" to User "y'),
        ),
        (
            'RBAC: allowed by RoleBinding "b of Role r to User u/ns" of Role "r" to User "u"',
            in_namespace("b of Role r to User u"),
        ),
        # what names nothing
        ("", None),
        ("RBAC: allowed by", None),
        ('RBAC: [clusterrole.rbac.authorization.k8s.io "missing" not found]', None),
        ('RBAC: allowed by RoleBinding "b/ns" of Role "r"', None),
        ('RBAC: allowed by RoleBinding "b/ns" of Role "r" to ServiceAccount "sa/ns" and more', None),
        (' RBAC: allowed by RoleBinding "b/ns" of Role "r" to User "u"', None),
        ('RBAC: allowed by RoleBinding "b/ns" of Role "r" to User "u"\n', None),
        ('RBAC: allowed by RoleBinding "b/ns" of Role "r" to Robot "u"', None),
        ('RBAC: allowed by RoleBinding "b/ns" of role "r" to User "u"', None),
        ('RBAC: allowed by RoleBinding "b" of Role "r" to User "u"', None),
        ('RBAC: allowed by RoleBinding "/ns" of Role "r" to User "u"', None),
        ('RBAC: allowed by RoleBinding "b/" of Role "r" to User "u"', None),
        ('RBAC: allowed by RoleBinding "b/ns" of Role "" to User "u"', None),
        ('RBAC: allowed by ClusterRoleBinding "b" of Role "r" to User "u"', None),
        # escapes that Go does not print, or that stand for no character
        (r'RBAC: allowed by RoleBinding "\q/ns" of Role "r" to User "u"', None),
        (r'RBAC: allowed by RoleBinding "\xff/ns" of Role "r" to User "u"', None),
        (r'RBAC: allowed by RoleBinding "\ud800/ns" of Role "r" to User "u"', None),
        (r'RBAC: allowed by RoleBinding "\U001fffff/ns" of Role "r" to User "u"', None),
        (r'RBAC: allowed by RoleBinding "b/ns" of Role "r" to User "\q"', None),
        # longer than any that is true
        ('RBAC: allowed by RoleBinding "' + "b" * 20_000 + '/ns" of Role "r" to User "u"', None),
    ],
)
def test_a_reason_names_its_grant_or_none(reason: str, named: GrantName | None) -> None:
    """Exactly the forms of kubernetes' rule.go; anything else is no evidence of a grant."""
    assert named == named_grants[reason]


@given(st.text(min_size=1, max_size=30), st.text(st.characters(codec="ascii"), min_size=1, max_size=30))
@settings(derandomize=True, deadline=None)
def test_every_name_comes_back_from_its_quotes(binding: str, role: str) -> None:
    """Whatever the name holds (JSON escapes less than Go does; what it escapes, Go escapes alike, but for \\b, \\f and \\u00XX)."""
    quoted = [json.dumps(name, ensure_ascii=False) for name in (f"{binding}/ns", role)]
    named = named_grants[f'RBAC: allowed by RoleBinding {quoted[0]} of Role {quoted[1]} to User "u"']
    assert GrantName(ObjectName("RoleBinding", "ns", binding), ObjectName("Role", "ns", role)) == named


@given(st.text(st.sampled_from('ab"\\xuU01f '), max_size=20))
@settings(derandomize=True, deadline=None)
def test_unquoting_never_raises(quoted: str) -> None:
    """A text or None, whatever stands there."""
    assert isinstance(unquote(quoted), str | None)
