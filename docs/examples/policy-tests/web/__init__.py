"""The team's own service."""

GREETING = "hello"
