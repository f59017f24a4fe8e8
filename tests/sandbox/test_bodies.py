"""Bodies of Kubernetes requests: forms, decoding errors, strictness."""

from __future__ import annotations

from typing import Any

import pytest

from mnslib.sandbox.kube import bodies, schema
from mnslib.sandbox.kube.kinds import served
from mnslib.sandbox.state import State
from tests.sandbox.kube_calls import APPS, TEAM, deployment, kube, make_cluster, words

PROTOBUF = "application/vnd.kubernetes.protobuf"
FORM = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@pytest.fixture(scope="module")
def state() -> State:
    return make_cluster()


def pod(**container: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"} | container]}}


WRONG = [
    ("pods", pod(resources={"requests": {"cpu": "1 core"}}), FORM),
    ("pods", pod(resources={"limits": {"memory": True}}), FORM),
    ("pods", pod(resources={"limits": {"memory": "1KiMi"}}), "unable to parse quantity's suffix"),
    (
        "pods",
        pod(env=[{"name": "A", "value": 1}]),
        "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of "
        "type string",
    ),
    (
        "pods",
        {"spec": {"containers": {}}},
        "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type "
        "[]v1.Container",
    ),
    (
        "pods",
        {"metadata": {"labels": {"a": 1}}},
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type "
        "string",
    ),
    (
        "pods",
        {"spec": {"restartPolicy": 1}},
        "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type "
        "v1.RestartPolicy",
    ),
    ("secrets", {"data": {"a": "?"}}, "illegal base64 data at input byte 0"),
    (
        "pods",
        {"metadata": {"creationTimestamp": "noon"}},
        'parsing time "noon" as "2006-01-02T15:04:05Z07:00": cannot parse "noon" as "2006"',
    ),
    (
        "services",
        {"spec": {"ports": [{"port": 1, "targetPort": {}}]}},
        "json: cannot unmarshal object into Go value of type int32",
    ),
    (
        "configmaps",
        {"kind": "Pod"},
        "converting (v1.Pod) to (core.ConfigMap): unknown conversion",
    ),
    (
        "configmaps",
        {"kind": "Thing"},
        'no kind "Thing" is registered for version "v1" in scheme '
        '"pkg/api/legacyscheme/scheme.go:30"',
    ),
]


@pytest.mark.parametrize(("plural", "body", "text"), WRONG)
def test_a_value_of_another_type_is_refused_in_the_decoders_words(
    state: State, plural: str, body: dict[str, Any], text: str
) -> None:
    kind = served()["v1"][plural]
    answer = kube(state, "POST", f"{TEAM}/{plural}", body)
    theirs = body.get("kind", kind.word)
    head = f'{theirs} in version "v1" cannot be handled as a {kind.word}: '
    assert words(answer) == (400, head + text)


def test_numbers_are_bounded_by_their_go_type(state: State) -> None:
    for value in ("three", 1.5, 2**31):
        shown = "string" if isinstance(value, str) else f"number {value}"
        status, text = words(kube(state, "POST", f"{APPS}/deployments", deployment(replicas=value)))
        wanted = f"json: cannot unmarshal {shown} into Go struct field DeploymentSpec.spec.replicas"
        assert (status, text.endswith(f"{wanted} of type int32")) == (400, True)


@pytest.mark.parametrize("body", ["", "{", "[1]", '"a"', '{"a": NaN}'])
def test_a_body_that_is_no_object_is_refused(state: State, body: str) -> None:
    status, text = words(kube(state, "POST", f"{TEAM}/pods", body.encode()))
    assert status == 400
    assert text.startswith("the object provided is unrecognized (must be of type Pod)")


def test_unknown_and_repeated_fields_are_refused_told_or_ignored(state: State) -> None:
    text = '{"metadata":{"name":"NAME"},"spec":{"hard":{"pods":"1","pods":"2"},"foo":1},"bar":{}}'
    found = 'duplicate field "spec.hard.pods", unknown field "spec.foo", unknown field "bar"'
    answer = kube(state, "POST", f"{TEAM}/resourcequotas", text, fieldValidation="Strict")
    head = 'ResourceQuota in version "v1" cannot be handled as a ResourceQuota: strict decoding '
    assert words(answer) == (400, f"{head}error: {found}")
    for name, query in (("a", {}), ("b", {"fieldValidation": "Warn"})):
        answer = kube(state, "POST", f"{TEAM}/resourcequotas", text.replace("NAME", name), **query)
        assert (answer.status, answer.body["spec"]) == (201, {"hard": {"pods": "2"}})
    answer = kube(state, "POST", f"{TEAM}/resourcequotas", text, fieldValidation="Maybe")
    assert (answer.status, 'supported values: "", "Ignore"' in answer.body["message"]) == (
        422,
        True,
    )


def test_the_server_stores_quantities_in_its_own_form(state: State) -> None:
    hard = {"requests.cpu": 0.5, "requests.memory": "1024Mi", "pods": "1e1"}
    body = {"metadata": {"name": "q"}, "spec": {"hard": hard}}
    made = kube(state, "POST", f"{TEAM}/resourcequotas", body).body
    assert made["spec"]["hard"] == {"requests.cpu": "500m", "requests.memory": "1Gi", "pods": "10"}


def test_zero_values_are_left_out_where_the_server_leaves_them_out(state: State) -> None:
    pod_spec = {"hostNetwork": False, "volumes": [], "priority": 0, "nodeSelector": {}}
    template = {"metadata": {"labels": {"app": "zero"}}, "spec": pod_spec}
    pod_spec["containers"] = [{"name": "c", "image": "x", "env": [{"name": "A", "value": ""}]}]
    body = deployment("zero", template=template, replicas=0, paused=False)
    body["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 0}}
    spec = kube(state, "POST", f"{APPS}/deployments", body).body["spec"]
    assert (spec["replicas"], "paused" in spec) == (0, False)
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    kept = spec["template"]["spec"]
    assert kept["priority"] == 0
    assert kept["containers"][0]["env"] == [{"name": "A"}]
    assert {"hostNetwork", "volumes", "nodeSelector"} & set(kept) == set()
    data = {"metadata": {"name": "zero"}, "data": {"a": ""}}
    assert kube(state, "POST", f"{TEAM}/configmaps", data).body["data"] == {"a": ""}


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_a_spec_that_is_left_out_is_an_empty_one(state: State, method: str) -> None:
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": method.lower()}}
    one, media = f"{TEAM}/resourcequotas/{method.lower()}", ""
    if method == "PUT":
        kube(state, "POST", f"{TEAM}/resourcequotas", body)
    if method == "PATCH":
        media = "application/apply-patch+yaml"
    path = f"{TEAM}/resourcequotas" if method == "POST" else one
    answer = kube(state, method, path, body, media, fieldManager="a")
    assert answer.status in (200, 201)
    assert answer.body["spec"] == {}


def test_yaml_is_read_but_not_what_it_abbreviates(state: State) -> None:
    text = "metadata: {name: c}\ndata: {on: '1', at: 2026-01-01T00:00:00Z}\n"
    made = kube(state, "POST", f"{TEAM}/configmaps", text, "application/yaml")
    status, words_ = words(made)
    assert (status, "cannot unmarshal" in words_) == (201, False)
    assert made.body["data"] == {"true": "1", "at": "2026-01-01T00:00:00Z"}
    twice = "a: &a [1]\nb: *a\n"
    assert kube(state, "POST", f"{TEAM}/configmaps", twice, "application/yaml").status == 400
    deep = "[" * 5000
    assert kube(state, "POST", f"{TEAM}/configmaps", deep, "application/yaml").status == 400
    assert kube(state, "POST", f"{TEAM}/configmaps", "a=b", "text/plain").status == 415


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return bytes([number << 3, content])
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + content


def envelope(version: str, kind: str, raw: bytes) -> bytes:
    types = field(1, version.encode()) + field(2, kind.encode())
    return b"k8s\x00" + field(1, types) + field(2, raw) + field(3, b"") + field(4, b"")


def test_a_deployment_is_read_in_protobuf(state: State) -> None:
    labels = field(1, field(1, b"app") + field(2, b"web"))
    resources = field(1, field(1, b"cpu") + field(2, field(1, b"0.5")))
    empty = field(1, b"tmp") + field(2, field(2, field(1, b"")))  # an emptyDir without more
    port = field(1, b"") + field(2, 0) + field(3, 80)
    container = field(1, b"app") + field(2, b"x") + field(6, port) + field(8, resources)
    template = field(2, field(1, empty) + field(2, container))
    own = field(11, field(1, b"app") + field(2, b"web"))
    spec = field(1, 0) + field(2, labels) + field(3, field(1, own) + template) + field(5, 0)
    raw = field(1, field(1, b"web") + field(8, b"")) + field(2, spec) + field(3, field(1, 0))
    body = envelope("apps/v1", "Deployment", raw)
    made = kube(state, "POST", f"{APPS}/deployments", body, PROTOBUF)
    assert made.status == 201, made.body
    assert made.body["spec"]["replicas"] == 0  # a pointer's zero is a value
    pod_spec = made.body["spec"]["template"]["spec"]
    assert pod_spec["volumes"] == [{"name": "tmp", "emptyDir": {}}]
    app = pod_spec["containers"][0]
    assert (app["image"], app["resources"]) == ("x", {"limits": {"cpu": "500m"}})
    assert app["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


def test_a_zero_of_a_number_or_text_is_read_in_protobuf(state: State) -> None:
    spec = field(3, field(1, 0) + field(2, 0) + field(3, b""))  # maxUnavailable: 0
    raw = field(1, field(1, b"zero")) + field(2, spec)
    body = envelope("policy/v1", "PodDisruptionBudget", raw)
    path = "/apis/policy/v1/namespaces/team/poddisruptionbudgets"
    made = kube(state, "POST", path, body, PROTOBUF)
    assert (made.status, made.body["spec"]) == (201, {"maxUnavailable": 0})


def test_a_broken_or_unnumbered_protobuf_body_is_refused(state: State) -> None:
    for body in (b"{}", b"k8s\x00\x12\xff", b"k8s\x00\x0b"):
        assert kube(state, "POST", f"{TEAM}/pods", body, PROTOBUF).status == 400
    unknown = kube(state, "POST", f"{TEAM}/pods", envelope("v1", "Thing", b""), PROTOBUF)
    assert words(unknown) == (415, "Thing in v1 is not read in protobuf here: send it as JSON")


def test_every_kind_has_a_model_and_every_seeded_object_is_one(state: State) -> None:
    odd = []
    for version, kinds in served().items():
        for kind in kinds.values():
            assert schema.model_of(version, kind.word), (version, kind.word)
            base = "/api/v1" if version == "v1" else f"/apis/{version}"
            listed = kube(state, "GET", f"{base}/{kind.plural}") if "list" in kind.verbs else None
            for doc in listed.body["items"] if listed else []:
                _, strict = bodies.decode(doc, schema.model_of(version, kind.word))
                odd += [(kind.plural, doc["metadata"]["name"], text) for text in strict]
    assert odd == []
