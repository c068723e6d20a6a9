"""Every face of protector that the outside sees: listeners, ingest, API, pages, metrics and the command line. Imports actors."""
