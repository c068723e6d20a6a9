"""Puts the tests folder on the path, so that `from trio_run import run` works in every test; and loads the harness's plugin.

An installed kube-protector brings the plugin by its entry point; one that was set up before there was an entry point does not.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = [] if importlib.util.find_spec("kube_protector_pytest") else ["actors.testing.plugin"]
