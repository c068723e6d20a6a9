"""Stories and their casts: what is refused in one clear line, and which events a scene makes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from actors.evidence import Account
from actors.testing.cast import CastError, load_cast
from actors.testing.events import as_dict
from actors.testing.story import StoryError, load_story, scene_events

RBAC = "rbac.authorization.k8s.io"


def meta(name, namespace="n", **more):
    return {"name": name, "uid": f"uid-{name}", **({"namespace": namespace} if namespace else {}), **more}


def owner(kind, name):
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": True}]}


def pod(name, **more):
    spec = {"serviceAccountName": "sa", "nodeName": "node-1"}
    return {"kind": "Pod", "metadata": meta(name, **more), "spec": spec, "status": {"podIP": "10.0.0.1"}}


def binding(name, role, *subjects, namespace="n", kind="Role"):
    kind_of = "RoleBinding" if namespace else "ClusterRoleBinding"
    reference = {"apiGroup": RBAC, "kind": kind, "name": role}
    return {"kind": kind_of, "metadata": meta(name, namespace), "roleRef": reference, "subjects": list(subjects)}


SA = {"kind": "ServiceAccount", "name": "sa", "namespace": "n"}
ITEMS = [
    {"kind": "ServiceAccount", "metadata": meta("sa")},
    {"kind": "ServiceAccount", "metadata": meta("other")},
    {"kind": "Deployment", "metadata": meta("web")},
    {"kind": "ReplicaSet", "metadata": meta("web-1", **owner("Deployment", "web"))},
    pod("web-1-a", **owner("ReplicaSet", "web-1")),
    pod("web-1-b", **owner("ReplicaSet", "web-1")),
    pod("bare"),
    {"kind": "Role", "metadata": meta("reader"), "rules": []},
    {"kind": "ClusterRole", "metadata": meta("all", None), "rules": []},
    binding("mine", "reader", SA),
    binding("group", "all", {"kind": "Group", "name": "system:serviceaccounts:n"}, kind="ClusterRole"),
    binding("user", "reader", {"kind": "User", "name": "system:serviceaccount:n:sa"}),
    binding("everywhere", "all", SA, namespace=None, kind="ClusterRole"),
    binding("dangling", "gone", SA),
    binding("theirs", "reader", {"kind": "ServiceAccount", "name": "other"}),
]
ASK = {"by": "Deployment/n/web", "verb": "get", "secret": "n/key", "binding": "RoleBinding/n/mine"}


@pytest.fixture
def cast(tmp_path):
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump({"kind": "List", "items": ITEMS}))
    return load_cast(tmp_path / "cluster.yaml")


@pytest.fixture
def tell(tmp_path, cast):
    """Reads a story with these scenes (or these requests in one scene)."""

    def read(*requests, scenes=None, **story):
        known = {"title": "t", "secrets": ["n/key"], "scenes": scenes or [{"at_s": 0, "requests": list(requests)}]}
        (tmp_path / "story.yaml").write_text(yaml.safe_dump(known | story))
        return load_story(tmp_path / "story.yaml", cast)

    return read


@pytest.fixture
def items(tell, cast):
    """The items of one request."""

    def of(now=1e9, **changes):
        story = tell({**ASK, **changes}, outsiders=OUTSIDERS)
        return [(s, as_dict(e)) for s, e in scene_events(story, cast, story.scenes[0], now, random.Random(1))]

    return of


OUTSIDERS = {
    "ann": {"kind": "person", "user": "ann@x"},
    "old": {"kind": "legacy_token", "account": "n/sa", "token_secret": "old-token", "ip": "1.2.3.4"},
    "new": {"kind": "unbound_token", "account": "n/sa", "ip": "1.2.3.4"},
}


# --- the cast ---------------------------------------------------------------------------------------------------------


def test_pods_are_found_under_their_top_owner(cast):
    """A ReplicaSet's pods are the Deployment's; a pod without owner is its own workload."""
    assert cast.workloads == ("Deployment/n/web", "Pod/n/bare")
    assert [cast.pod(f"Deployment/n/web#{i}")[1].name for i in range(2)] == ["web-1-a", "web-1-b"]


def test_a_pod_keeps_its_token(cast):
    """The same pod has the same credential each time, and another pod another."""
    first, again, other = (cast.caller(who)[1] for who in ("Pod/n/bare", "Pod/n/bare", "Deployment/n/web"))
    assert first == again
    assert first.user.extra != other.user.extra


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("RoleBinding/n/mine", 'RoleBinding "mine/n" of Role "reader" to ServiceAccount "sa/n"'),
        ("RoleBinding/n/group", 'RoleBinding "group/n" of ClusterRole "all" to Group "system:serviceaccounts:n"'),
        ("RoleBinding/n/user", 'RoleBinding "user/n" of Role "reader" to User "system:serviceaccount:n:sa"'),
        (
            "ClusterRoleBinding/everywhere",
            'ClusterRoleBinding "everywhere" of ClusterRole "all" to ServiceAccount "sa/n"',
        ),
    ],
)
def test_reason_names_binding_role_and_subject(cast, name, reason):
    """The reason is made of the binding as the file has it."""
    assert cast.reason(name, Account("n", "sa")) == f"RBAC: allowed by {reason}"


def test_a_missing_role_is_a_complaint(cast):
    """A binding whose role is not there explains a denial."""
    assert cast.complaint("RoleBinding/n/dangling") == 'RBAC: role.rbac.authorization.k8s.io "gone" not found'


@pytest.mark.parametrize("text", ["", "just a word", "{", "kind: List\nitems: 7", "kind: Pod", "- a\n- b"])
def test_a_file_that_is_no_cluster_is_one_line(tmp_path, text):
    """Whatever stands in the file, there is one clear line, or nobody in it."""
    (tmp_path / "cluster.yaml").write_text(text)
    if text == "":
        assert load_cast(tmp_path / "cluster.yaml").workloads == ()
        return
    with pytest.raises(CastError, match=r"cluster\.yaml") as error:
        load_cast(tmp_path / "cluster.yaml")
    assert "\n" not in str(error.value)


# --- stories that are refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        # who
        ({"by": "Deployment/n/nobody"}, "no pod of Deployment/n/nobody"),
        ({"by": "Deployment/n/web#2"}, "Deployment/n/web has 2 pods"),
        ({"by": "Deployment/n/web#x"}, "Deployment/n/web has 2 pods"),
        ({"by": "nobody"}, "'nobody' is neither a workload"),
        ({"as": "n"}, "'n' is no account"),
        # what
        ({"secret": "n/kay"}, "the Secret n/kay is not among the story's secrets"),
        ({"secret": "key"}, "'key' is no Secret"),
        ({"secret": "n/*"}, "get needs one Secret"),
        ({"result": "not_found"}, "the Secret n/key is among the story's secrets"),
        ({"verb": "steal"}, "Invalid enum value 'steal'"),
        ({"watch_s": 5}, "watch_s and open_s are of watches"),
        ({"times": 0}, "int` >= 1"),
        ({"ago": 5}, "unknown field `ago`"),
        # why
        ({"binding": "RoleBinding/n/nothing"}, "no RoleBinding/n/nothing"),
        ({"binding": "Role/n/reader"}, "Role/n/reader is no RoleBinding"),
        ({"binding": "RoleBinding/n/theirs"}, "no subject that is ServiceAccount/n/sa"),
        ({"binding": "RoleBinding/n/dangling"}, "does not have, so it allows nothing"),
        ({"binding": None}, "needs a binding or a reason"),
        ({"result": "denied"}, "the role of RoleBinding/n/mine exists"),
    ],
)
def test_a_request_that_cannot_be_is_one_line(tell, changes, complaint):
    """A name that the cluster does not have, or a request that makes no sense, is one line that says so and where."""
    with pytest.raises(StoryError) as error:
        tell({**ASK, **changes})
    assert complaint in str(error.value)
    assert "story.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("expect", "complaint"),
    [
        ({"lit": [{"workload": "Deployment/n/nobody", "secret": "n/key"}]}, "no pod of Deployment/n/nobody"),
        ({"dark": [{"workload": "Deployment/n/web", "secret": "n/kay"}]}, "n/kay is not among"),
        ({"expired": [{"workload": "Pod/n/bare", "secret": "*", "binding": "RoleBinding/n/x"}]}, "no RoleBinding/n/x"),
        ({"unexplained": [{"account": "n/nobody", "secret": "n/key"}]}, "no ServiceAccount/n/nobody"),
        ({"lid": []}, "unknown field `lid`"),
    ],
)
def test_an_expectation_of_something_unknown_is_one_line(tell, expect, complaint):
    """What is expected is checked as what is asked, so that a misspelt name cannot pass as `dark`."""
    with pytest.raises(StoryError, match=r"scene 1|unknown field") as error:
        tell(scenes=[{"at_s": 0, "expect": expect}])
    assert complaint in str(error.value)


def test_scenes_are_in_order(tell):
    """A scene before the one ahead of it is refused."""
    with pytest.raises(StoryError, match="scene 2: at_s 1 lies before"):
        tell(scenes=[{"at_s": 2}, {"at_s": 1}])


@pytest.mark.parametrize("text", ["", "[]", "title: 7", "{", "title: t\nsecrets: []\nscenes: []"])
def test_a_file_that_is_no_story_is_one_line(tmp_path, cast, text):
    """Whatever stands in the file, there is one clear line."""
    (tmp_path / "story.yaml").write_text(text)
    with pytest.raises(StoryError, match=r"^story\.yaml: ") as error:
        load_story(tmp_path / "story.yaml", cast)
    assert "\n" not in str(error.value)


def test_a_missing_story_is_one_line(tmp_path, cast):
    """So is a file that is not there."""
    with pytest.raises(StoryError, match=r"^story\.yaml: "):
        load_story(tmp_path / "story.yaml", cast)


# --- what scenes make ---------------------------------------------------------------------------------------------------


def test_a_request_can_be_made_many_times(items):
    """Each is a request of its own, with its own id."""
    assert len({item["auditID"] for _, item in items(times=5)}) == 5


def test_a_late_read_has_its_old_time(items):
    """`ago_s` is in the event, not in its delivery."""
    ((delay_s, item),) = items(ago_s=100)
    assert (delay_s, item["requestReceivedTimestamp"]) == (0.0, "2001-09-09T01:45:00.000000Z")


def test_a_watch_ends_later(items):
    """The end of a watch is written when it ends; an open one has none."""
    watch = {"verb": "watch", "secret": "n/*", "watch_s": 60}
    assert [(s, i["stage"]) for s, i in items(**watch, open_s=4)] == [
        (0.0, "ResponseStarted"),
        (4.0, "ResponseComplete"),
    ]
    assert [(s, i["stage"]) for s, i in items(**watch)] == [(0.0, "ResponseStarted")]


def test_outsiders_claim_no_pod(items):
    """Legacy and unbound tokens act as their account without any pod; a person is no account."""
    for who in ("old", "new"):
        ((_, item),) = items(by=who)
        assert item["user"]["username"] == "system:serviceaccount:n:sa"
        assert "pod-name" not in str(item)
    ((_, item),) = items(by="ann", binding=None)
    assert (item["user"]["username"], item["annotations"]["authorization.k8s.io/reason"]) == ("ann@x", "")


def test_impersonation_is_judged_as_the_other(items):
    """The reason is of the impersonated account's binding."""
    ((_, item),) = items(by="ann", **{"as": "n/sa"})
    assert item["impersonatedUser"]["username"] == "system:serviceaccount:n:sa"
    assert '"mine/n"' in item["annotations"]["authorization.k8s.io/reason"]


def test_noise_is_exactly_so_many_items_and_none_about_secrets(tell, cast):
    """Noise is counted in items, and is never about Secrets."""
    story = tell(scenes=[{"at_s": 0, "noise": 101}], apiserver={"every_stage": True})
    found = [as_dict(event) for _, event in scene_events(story, cast, story.scenes[0], 1e9, random.Random(2))]
    assert len(found) == 101
    assert "secrets" not in {item["objectRef"]["resource"] for item in found}


def test_the_folder_is_named_nowhere(tmp_path, cast):
    """A complaint names the file, not the machine's path to it."""
    with pytest.raises(StoryError) as error:
        load_story(tmp_path / "story.yaml", cast)
    assert Path(str(error.value).split(":")[0]).name == "story.yaml"
