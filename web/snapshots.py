"""Cluster files for commands that read them once: the joined model, with one line for a person when a file cannot be used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from actors.cluster.model import ClusterModel
from actors.cluster.records import Binding, Role
from actors.cluster.source import load_file
from actors.grants import Grants


def model_of(files: Sequence[Path], *, now: float) -> ClusterModel:
    """The model of these snapshots, in the order of time; what only an earlier one has is remembered. Raises ClusterFileError."""
    model = ClusterModel(ttl_s=math.inf)
    model.load([load_file(file) for file in files], now)
    return model


def grants_of(model: ClusterModel) -> Grants:
    """The grants of the model as it stands."""
    grants = Grants()
    for record in model.records():
        match record:
            case Role():
                grants.upsert_role(record)
            case Binding():
                grants.upsert_binding(record)
            case _:
                pass
    return grants
