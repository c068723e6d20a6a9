"""Workloads, accounts, entries: made when first named, taken out when nothing holds them. Pure; counterpart: graph.py."""

from __future__ import annotations

from abc import ABC, abstractmethod

from actors.engine.acts import WorkloadActs
from actors.engine.expected import Expected
from actors.engine.nodes import BURST_SECRETS, AccountNode, Entry, WorkloadNode
from actors.evidence import Account, Workload
from actors.grants import Concerned


class Places(ABC):
    """Where a workload, an account and the two together are found."""

    def __init__(self, expected: Expected | None = None, burst_secrets: int = BURST_SECRETS) -> None:
        self.expected = Expected() if expected is None else expected
        self._burst_secrets = burst_secrets
        self.workloads: dict[Workload, WorkloadNode] = {}
        self.acts: dict[Workload, WorkloadActs] = {}
        """Live acts, of workloads that are not known (yet) too; kept by acts.py."""
        self.accounts: dict[Account, AccountNode] = {}
        self._accounts_in: dict[str, dict[AccountNode, None]] = {}

    @abstractmethod
    def _take_grants(self, node: AccountNode) -> bool:
        """Asks what the account was granted; whether what it may read changed."""

    def entry(self, workload: Workload, account: Account) -> Entry:
        """The workload as that account; made if it is not there (a read may come before its pod is known)."""
        node = self.workloads.get(workload)
        if node is None:
            node = self.workloads[workload] = WorkloadNode(workload)
            node.acts = self.acts.get(workload)
        entry = node.entries.get(account)
        if entry is None:
            entry = node.entries[account] = Entry(node, self.account(account))
            entry.account.entries[workload] = entry
        return entry

    def account(self, account: Account) -> AccountNode:
        """The account's node; made, with its grants, if it is not there."""
        node = self.accounts.get(account)
        if node is None:
            node = AccountNode(account, self.expected.of(account), self._burst_secrets)
            self.accounts[account] = node
            self._accounts_in.setdefault(account.namespace, {})[node] = None
            self._take_grants(node)
        return node

    def leave(self, entry: Entry) -> None:
        """Takes the entry out if nothing holds it any more."""
        if entry.known or entry.chains:
            return
        node, account = entry.node, entry.account
        if node.entries.get(account.account) is not entry:
            return
        del node.entries[account.account]
        del account.entries[node.workload]
        if not node.entries and not node.mounted:
            del self.workloads[node.workload]
        self.leave_account(account)

    def leave_account(self, node: AccountNode) -> None:
        """Takes the account out if nothing runs as it and nothing of it is live."""
        if node.entries or node.items or self.accounts.get(node.account) is not node:
            return
        del self.accounts[node.account]
        neighbours = self._accounts_in[node.account.namespace]
        del neighbours[node]
        if not neighbours:
            del self._accounts_in[node.account.namespace]

    def concerned(self, concerned: Concerned) -> list[AccountNode]:
        """The accounts here that are meant."""
        if concerned.everyone:
            return list(self.accounts.values())
        found: dict[AccountNode, None] = {}
        for namespace in concerned.namespaces:
            found.update(self._accounts_in.get(namespace, {}))
        for account in concerned.accounts:
            node = self.accounts.get(account)
            if node is not None:
                found[node] = None
        return list(found)
