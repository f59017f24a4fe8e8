"""Where Azure is: endpoints and token scopes of each cloud, and of a sandbox.

Knows nothing of credentials or requests.

Source: azure-mgmt-core `get_arm_endpoints`, azure-identity `AzureAuthorityHosts`, Microsoft Graph
national cloud deployments; managed Prometheus audiences as KEDA and Grafana use them; the AKS
server application has the same id in every cloud (kubelogin).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mnslib.packaged import packaged

KUBERNETES_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
"""Token scope of every AKS API server. Source: kubelogin, `--server-id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Endpoints (without a slash at the end) and token scopes of one cloud.

    Attributes:
        name: `public`, `usgov`, `china` or `sandbox`.
        ca_file: PEM file of the authority that signed the endpoints; None for the system's own.
    """

    name: str
    arm_endpoint: str
    authority_host: str
    graph_endpoint: str
    arm_scope: str
    prometheus_scope: str
    kubernetes_scope: str = KUBERNETES_SCOPE
    ca_file: str | None = None

    @property
    def graph_scope(self) -> str:
        """Token scope of Microsoft Graph, which is named by its endpoint in every cloud."""
        return f"{self.graph_endpoint}/.default"


CLOUDS: dict[str, Cloud] = {
    name: Cloud(name=name, **entry) for name, entry in packaged("mnslib.azure", "clouds").items()
}


def sandbox_cloud(connection: Mapping[str, Any]) -> Cloud:
    """Return the sandbox as a cloud, from its connection file's content."""
    arm = str(connection["arm_endpoint"]).rstrip("/")
    return Cloud(
        name="sandbox",
        arm_endpoint=arm,
        authority_host=str(connection["authority_host"]).rstrip("/"),
        graph_endpoint=str(connection["graph_endpoint"]).rstrip("/"),
        arm_scope=f"{arm}/.default",
        prometheus_scope=CLOUDS["public"].prometheus_scope,
        ca_file=str(connection["ca_file"]),
    )
