"""The API server's audit log as a file (`--audit-log-path`), followed through rotation and restarts; each line counts once.

place.py and siblings.py say where we are and what comes next (pure); parts.py and reader.py read (blocking, in a thread);
actor.py hands batches on.
"""

from __future__ import annotations

from actors.auditlog.actor import AuditLogActor, AuditLogStatistics

__all__ = ["AuditLogActor", "AuditLogStatistics"]
