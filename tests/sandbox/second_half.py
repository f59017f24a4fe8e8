"""The published walk-through from the admin's first kubectl on, for whoever brings two of them.

Source: the write-up of a live cluster that docs/sandbox.md calls BLOG; the texts are Kubernetes'.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.sandbox.kubectl import Result

Run = Callable[[str, str], Result]
DENIED = "User does not have access to the resource in Azure. "
DENIED += "Update role assignment to allow access."
APPLICATION = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: nginx}
spec:
  replicas: 3
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers:
      - name: nginx
        image: nginx:1.27
        ports: [{containerPort: 80}]
        resources:
          requests: {cpu: 250m, memory: 256Mi}
          limits: {cpu: 500m, memory: 512Mi}
---
apiVersion: v1
kind: Service
metadata: {name: nginx}
spec:
  type: LoadBalancer
  selector: {app: nginx}
  ports: [{port: 80}]
"""


def check(admin: Run, team: Run, name: str, other: str, user: str) -> None:
    """Walk through it, in a namespace with a quota of 1 and 2 CPUs, 512 Mi and 1 Gi.

    Args:
        admin: runs a command line with what it reads, as the cluster's admin.
        team: the same as somebody who may write in that namespace alone.
        name: of the namespace.
        other: a namespace of another team.
        user: the object id of that somebody.
    """
    assert name in admin("kubectl get ns", "").out
    refused = team(f"kubectl run nginx --image=nginx -n {name}", "")
    assert (refused.rc, refused.err.strip()) == (
        1,
        'Error from server (Forbidden): pods "nginx" is forbidden: failed quota: '
        "defaultresourcequota: must specify limits.cpu for: nginx; limits.memory for: nginx; "
        "requests.cpu for: nginx; requests.memory for: nginx",
    )
    applied = team(f"kubectl apply -n {name} -f -", APPLICATION)
    assert applied.out.splitlines() == ["deployment.apps/nginx created", "service/nginx created"]
    pods = team(f"kubectl get pods -n {name} --no-headers", "").out.splitlines()
    assert [line.split()[1:3] for line in pods] == [["1/1", "Running"]] * 2
    described = team(f"kubectl describe replicaset -n {name}", "").out
    assert "Replicas:       2 current / 3 desired" in described
    assert "ReplicaFailure   True    FailedCreate" in described
    assert (
        "is forbidden: exceeded quota: defaultresourcequota, requested: limits.memory=512Mi,"
        "requests.memory=256Mi, used: limits.memory=1Gi,requests.memory=512Mi, limited: "
        "limits.memory=1Gi,requests.memory=512Mi"
    ) in described
    quota = team(f"kubectl get quota -n {name} --no-headers", "").out
    assert "requests.cpu: 500m/1, requests.memory: 512Mi/512Mi" in quota
    assert "limits.cpu: 1/2, limits.memory: 1Gi/1Gi" in quota
    service = team(f"kubectl get svc nginx -n {name} --no-headers", "").out.split()
    assert service[1] == "LoadBalancer"
    for line, where in (("get ns", "at the cluster scope"), (f"get pods -n {other}", other)):
        forbidden = team(f"kubectl {line}", "")
        assert forbidden.rc == 1
        assert f'is forbidden: User "{user}" cannot list resource' in forbidden.err
        assert where in forbidden.err
        assert forbidden.err.strip().endswith(DENIED)
