"""Which Secrets are known by name, without any permission on Secrets: mounts, grants of single names, reads, cluster files.

Each source counts once, so a Secret is forgotten when the last source that names it is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from sortedcontainers import SortedDict, SortedList

from actors.evidence import Scope

SecretName = tuple[str, str]
"""(namespace, name)."""


FRESH_MAX: Final = 500
"""Names of a namespace that may wait to be put into their order: a millisecond's work."""


class _Names:
    """The names of one namespace with the number of their sources. Sorted when somebody looks, or when many are new."""

    __slots__ = ("_fresh", "_sorted", "sources")

    def __init__(self) -> None:
        self.sources: dict[str, int] = {}
        self._sorted: SortedList[str] = SortedList()
        self._fresh: dict[str, None] = {}

    def add(self, name: str) -> bool:
        """One more source. Whether it was unknown before."""
        sources = self.sources.get(name, 0)
        self.sources[name] = sources + 1
        if sources:
            return False
        self._fresh[name] = None
        if len(self._fresh) >= FRESH_MAX:
            self.ordered()
        return True

    def drop(self, name: str) -> bool:
        """One source less. Whether it is unknown now."""
        sources = self.sources[name] - 1
        if sources > 0:
            self.sources[name] = sources
            return False
        del self.sources[name]
        if self._fresh.pop(name, _ABSENT) is _ABSENT:
            self._sorted.remove(name)
        return True

    def ordered(self) -> Iterable[str]:
        """All of them in their order."""
        if self._fresh:
            self._sorted.update(self._fresh)
            self._fresh = {}
        return self._sorted


_ABSENT: Final = object()


class KnownSecrets:
    """Names of Secrets in their order, with the number of sources that name them."""

    def __init__(self) -> None:
        self._by_namespace: SortedDict[str, _Names] = SortedDict()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def add(self, secret: SecretName) -> bool:
        """One more source names it. Whether it was unknown before."""
        namespace, name = secret
        names = self._by_namespace.get(namespace)
        if names is None:
            names = self._by_namespace[namespace] = _Names()
        fresh = names.add(name)
        self._total += fresh
        return fresh

    def drop(self, secret: SecretName) -> bool:
        """One source less. Whether it is unknown now."""
        namespace, name = secret
        names = self._by_namespace[namespace]
        if not names.drop(name):
            return False
        self._total -= 1
        if not names.sources:
            del self._by_namespace[namespace]
        return True

    def __contains__(self, secret: object) -> bool:
        if not isinstance(secret, tuple):
            return False
        namespace, name = secret
        names = self._by_namespace.get(namespace)
        return names is not None and name in names.sources

    def within(self, scope: Scope) -> Iterator[SecretName]:
        """Those of the scope, in order."""
        if scope.namespace is not None:
            names = self._by_namespace.get(scope.namespace)
            if names is None:
                return
            if scope.name is None:
                for name in names.ordered():
                    yield (scope.namespace, name)
            elif scope.name in names.sources:
                yield (scope.namespace, scope.name)
            return
        for namespace, names in self._by_namespace.items():
            if scope.name is None:
                for name in names.ordered():
                    yield (namespace, name)
            elif scope.name in names.sources:
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
        names = self._by_namespace.get(scope.namespace)
        return 0 if names is None else len(names.sources)
