"""Bytes -> reads and drop reasons: a pure core (`parse_body`) and a thin actor. Imports runtime, evidence and messages only.

Who may import whom inside:
  memo, views                 nothing of the parser
  names, reason               memo
  scan, shapes                views
  rule, reads                 names, reason, views
  tally                       reads, rule, views
  otlp                        scan, views
  gke                         rule, scan, views
  wrapped                     otlp, gke, rule, scan, shapes, views
  core                        everything above
  actor                       core
"""

from __future__ import annotations

from actors.parser.actor import ParserActor, ParserStatistics
from actors.parser.core import WHOLE_BYTES_MAX, has_lines, parse_body, parse_whole
from actors.parser.memo import MemoStatistics
from actors.parser.rule import Drop
from actors.parser.tally import ITEMS_MAX

__all__ = [
    "ITEMS_MAX",
    "WHOLE_BYTES_MAX",
    "Drop",
    "MemoStatistics",
    "ParserActor",
    "ParserStatistics",
    "has_lines",
    "parse_body",
    "parse_whole",
]
