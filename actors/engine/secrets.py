"""Which Secrets are known by name, without any permission on Secrets: mounts, grants of single names, reads, cluster files.

Each source counts once, so a Secret is forgotten when the last source that names it is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from sortedcontainers import SortedDict

from actors.evidence import Scope

SecretName = tuple[str, str]
"""(namespace, name)."""


class KnownSecrets:
    """Names of Secrets in their order, with the number of sources that name them."""

    def __init__(self) -> None:
        self._by_namespace: SortedDict[str, SortedDict[str, int]] = SortedDict()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def add(self, secret: SecretName) -> bool:
        """One more source names it. Whether it was unknown before."""
        namespace, name = secret
        names = self._by_namespace.get(namespace)
        if names is None:
            names = self._by_namespace[namespace] = SortedDict()
        sources = names.get(name, 0)
        names[name] = sources + 1
        if sources == 0:
            self._total += 1
        return sources == 0

    def drop(self, secret: SecretName) -> bool:
        """One source less. Whether it is unknown now."""
        namespace, name = secret
        names = self._by_namespace[namespace]
        sources = names[name] - 1
        if sources > 0:
            names[name] = sources
            return False
        del names[name]
        self._total -= 1
        if not names:
            del self._by_namespace[namespace]
        return True

    def __contains__(self, secret: object) -> bool:
        if not isinstance(secret, tuple):
            return False
        namespace, name = secret
        return name in self._by_namespace.get(namespace, ())

    def within(self, scope: Scope) -> Iterator[SecretName]:
        """Those of the scope, in order."""
        if scope.namespace is not None:
            names = self._by_namespace.get(scope.namespace)
            if names is None:
                return
            if scope.name is None:
                for name in names:
                    yield (scope.namespace, name)
            elif scope.name in names:
                yield (scope.namespace, scope.name)
            return
        for namespace, names in self._by_namespace.items():
            if scope.name is None:
                for name in names:
                    yield (namespace, name)
            elif scope.name in names:
                yield (namespace, scope.name)

    def first(self, scope: Scope, count: int) -> list[SecretName]:
        """The first of the scope."""
        return list(islice(self.within(scope), count))

    def count(self, scope: Scope) -> int:
        """How many are in the scope."""
        if scope.name is not None:
            return sum(1 for _ in self.within(scope))
        if scope.namespace is None:
            return self._total
        return len(self._by_namespace.get(scope.namespace, ()))
