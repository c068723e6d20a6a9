"""Which accounts the subjects of a binding concern (appliesToUser in kubernetes pkg/registry/rbac/validation/rule.go). Pure.

An account is concerned by its own name, by its user name, and by the three groups that every ServiceAccount is in.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.cluster.records import Binding
from actors.evidence import Account

USER_PREFIX: Final = "system:serviceaccount:"
GROUP_PREFIX: Final = "system:serviceaccounts:"
GROUPS_OF_ALL: Final = frozenset({"system:serviceaccounts", "system:authenticated"})
"""Groups that every account is in."""


class Concerned(Struct, frozen=True):
    """A selector of accounts: these, those of these namespaces, or everyone. What must be looked at again after a change."""

    accounts: frozenset[Account] = frozenset()
    namespaces: frozenset[str] = frozenset()
    """Every account of these namespaces."""
    everyone: bool = False

    def concerns(self, account: Account) -> bool:
        """Whether this account is meant."""
        return self.everyone or account in self.accounts or account.namespace in self.namespaces

    def __or__(self, other: Concerned) -> Concerned:
        return Concerned(
            self.accounts | other.accounts, self.namespaces | other.namespaces, self.everyone or other.everyone
        )

    def __bool__(self) -> bool:
        return bool(self.everyone or self.accounts or self.namespaces)


NOBODY: Final = Concerned()


def concerned_by(binding: Binding) -> Concerned:
    """Whom the binding's subjects name. Kinds are compared exactly; unknown ones are nobody; apiGroup is not looked at.

    A ServiceAccount without a namespace is of the binding's namespace; in a ClusterRoleBinding it is nobody.
    """
    accounts: set[Account] = set()
    namespaces: set[str] = set()
    everyone = False
    for subject in binding.subjects:
        if subject.kind == "ServiceAccount":
            namespace = subject.namespace or binding.name.namespace
            if namespace and subject.name:
                accounts.add(Account(namespace, subject.name))
        elif subject.kind == "User":
            if (account := _account_of_user(subject.name)) is not None:
                accounts.add(account)
        elif subject.kind == "Group":
            namespace = subject.name.removeprefix(GROUP_PREFIX)
            everyone = everyone or subject.name in GROUPS_OF_ALL
            if namespace and namespace != subject.name and ":" not in namespace:
                namespaces.add(namespace)
    return Concerned(frozenset(accounts), frozenset(namespaces), everyone)


def _account_of_user(user: str) -> Account | None:
    parts = user.removeprefix(USER_PREFIX).split(":")
    if not user.startswith(USER_PREFIX) or len(parts) != 2 or not all(parts):
        return None
    return Account(parts[0], parts[1])
