"""Cluster files in every form that kubectl and people write, and every way in which one can be bad."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml
from kube_objects import binding, kube, pod, role, rule

from actors.cluster.source import ClusterFileError, Snapshot, load_file

CANARY = "CANARY-in-the-file"
OBJECTS = [
    pod("web-1", serviceAccountName="sa"),
    role("r", [rule("get")]),
    binding("b", "r", [{"kind": "ServiceAccount", "name": "sa"}]),
    kube("v1", "Namespace", "app", None),
    kube("v1", "ConfigMap", "c", data={"x": CANARY}),
]
LIST = {"apiVersion": "v1", "kind": "List", "items": OBJECTS, "metadata": {"resourceVersion": ""}}


def written(folder: Path, content: bytes | str, name: str = "bad.json") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(folder: Path, content: bytes | str) -> Snapshot:
    return load_file(written(folder, content))


FORMS = {
    "List": json.dumps(LIST),
    "List, indented": json.dumps(LIST, indent=4),
    "JSON lines": "\n".join(json.dumps(each) for each in OBJECTS) + "\n\n",
    "concatenated, indented": "\n".join(json.dumps(each, indent=2) for each in OBJECTS),
    "Lists after one another": json.dumps({**LIST, "items": OBJECTS[:2]}) + json.dumps({**LIST, "items": OBJECTS[2:]}),
    "byte order mark": "\ufeff  " + json.dumps(LIST),
    "YAML List": yaml.safe_dump(LIST),
    "YAML documents": "# from kubectl\n---\n" + "---\n".join(yaml.safe_dump(each) for each in [*OBJECTS, None]),
    "YAML, JSON inside": "---\n" + json.dumps(LIST),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same(tmp_path: Path, form: str, packed: bool) -> None:
    """One List, many documents, JSON or YAML, gzipped or not: the same objects and counts."""
    content = FORMS[form].encode()
    found, expected = load(tmp_path, gzip.compress(content) if packed else content), load(tmp_path, FORMS["List"])
    assert (expected.objects, expected.counts, expected.unknown) == (found.objects, found.counts, found.unknown)


def test_counts(tmp_path: Path) -> None:
    """Unknown kinds are counted, and malformed objects, and neither costs its neighbours."""
    found = load(tmp_path, json.dumps({**LIST, "items": [*OBJECTS, kube("v1", "Pod", "NO"), 7]}))
    assert found.counts == {"Pod": 1, "Role": 1, "RoleBinding": 1, "Namespace": 1}
    assert (found.unknown, found.malformed) == ({"ConfigMap": 1}, 2)


def test_utf_16(tmp_path: Path) -> None:
    """What a redirection in PowerShell writes can be read."""
    assert len(load(tmp_path, json.dumps(LIST).encode("utf-16")).objects) == 4


def test_one_object(tmp_path: Path) -> None:
    """A file may hold one object and no list."""
    assert load(tmp_path, json.dumps(OBJECTS[0])).counts == {"Pod": 1}


@pytest.mark.parametrize("form", [json.dumps, yaml.safe_dump])
def test_a_typed_list_speaks_for_its_items(tmp_path: Path, form: object) -> None:
    """`kubectl get --raw` writes a RoleList whose items have no kind."""
    items = [{key: value for key, value in role("r", []).items() if key not in ("kind", "apiVersion")}]
    typed = {"kind": "RoleList", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {}, "items": items}
    assert load(tmp_path, form(typed)).counts == {"Role": 1}  # type: ignore[operator] # one of two functions


def test_dates_and_equals_signs_are_text(tmp_path: Path) -> None:
    """YAML 1.1 would make dates and a tag of them; labels are text."""
    text = "kind: Pod\napiVersion: v1\nmetadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z, labels: {day: 2026-01-01, op: =}}\n"
    (found,) = load(tmp_path, text).objects
    assert found.pod.labels == (("day", "2026-01-01"), ("op", "="))  # type: ignore[union-attr] # it is the pod


GZ = gzip.compress(json.dumps(LIST).encode())


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n\t\n", "is empty", id="white space"),
        pytest.param(gzip.compress(b""), "is empty", id="empty gz"),
        pytest.param(b'{"kind":"List","items":[{"kind":"Pod"', "is cut short", id="cut short"),
        pytest.param(json.dumps(LIST)[:-9].encode(), "is cut short", id="cut short near the end"),
        pytest.param(
            (json.dumps(LIST) + json.dumps(LIST)[:-9]).encode(), "is cut short", id="second document cut short"
        ),
        pytest.param(
            yaml.safe_dump({"apiVersion": "v1", "items": OBJECTS}).encode(),
            "is cut short",
            id="YAML List without its end",
        ),
        pytest.param(GZ[:-12], "is cut short", id="gz cut short"),
        pytest.param(GZ[:20] + b"\x00\xff\x00\xff" + GZ[24:], "is a damaged gzip file", id="gz damaged"),
        pytest.param(b'{"kind":"Cheese"}', "holds no object of a known kind (found: Cheese)", id="unknown kind"),
        pytest.param(b"kind: Cheese\n", "holds no object of a known kind (found: Cheese)", id="unknown kind, YAML"),
        pytest.param(b'{"kind":"List","items":[]}', "holds no objects", id="empty List"),
        pytest.param(b'{"kind":"List","items":null}', "holds no objects", id="null List"),
        pytest.param(
            b'{"kind":"List","items":[{"kind":"Pod","apiVersion":"v1"}]}',
            "holds no usable object (1 malformed)",
            id="malformed",
        ),
        pytest.param(b"[1, 2]", "holds no usable object (1 malformed)", id="array"),
        pytest.param(b"Error from server (Forbidden)", "holds no usable object (1 malformed)", id="an error message"),
        pytest.param(b"{'kind': 'Pod'}", "is not valid JSON (byte", id="no JSON"),
        pytest.param(b'{"kind":"Pod","a":' + b"[" * 100_000, "is nested too deep", id="nesting"),
        pytest.param(b"a: " + b"[" * 100_000, "is not valid YAML (line 1", id="nesting, YAML"),
        pytest.param(b"kind: [\n", "is not valid YAML (line 2", id="no YAML"),
        pytest.param(b"kind: !!python/object:os.system x\n", "is not valid YAML (line 1", id="tag"),
        pytest.param(b"\x00\x01\x02\xff", "is not valid YAML", id="binary"),
        pytest.param(b"a: &a {kind: Pod}\nb: {<<: *a}\n", "uses a YAML merge key", id="merge key"),
        pytest.param(
            b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + b"".join(b"a%d: &a%d [%s]\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 12)),
            "unfolds to too many values",
            id="aliases that grow",
        ),
        pytest.param(b"kind: Pod\nx: &x [*x]\n", "unfolds to too many values", id="an alias of itself"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, what: str) -> None:
    """Each is refused with one line that names the file and says what is wrong."""
    with pytest.raises(ClusterFileError) as refused:
        load(tmp_path, content)
    text = str(refused.value)
    assert text.startswith(f"cluster file {tmp_path / 'bad.json'} {what}"), text
    assert "\n" not in text
    assert CANARY not in text


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(ClusterFileError, match=r"nowhere\.json does not exist"):
        load_file(tmp_path / "nowhere.json")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """What cannot be read is named with the system's reason."""
    with pytest.raises(ClusterFileError, match="cannot be read: Is a directory"):
        load_file(tmp_path)


def test_too_much_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """YAML has a bound of its own, and the line says how to go on."""
    monkeypatch.setattr("actors.cluster.source.YAML_BYTES_MAX", 1 << 20)
    with pytest.raises(ClusterFileError, match=r"more than 1 MiB of YAML; write it as JSON"):
        load(tmp_path, b"kind: Pod\n" + b"#" * (1 << 20))


@pytest.mark.parametrize(
    "content", [b'{"kind":"Pod"}' + b" " * 5000, gzip.compress(b'{"kind":"Pod"}' + b" " * 5000)], ids=["plain", "gz"]
)
def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """What a small packed file unfolds to is bounded, too."""
    monkeypatch.setattr("actors.cluster.source.FILE_BYTES_MAX", 4096)
    with pytest.raises(ClusterFileError, match="is larger than"):
        load(tmp_path, content)
