import pytest
from azure.core import AzureClouds
from azure.identity import AzureAuthorityHosts
from azure.mgmt.core.tools import get_arm_endpoints

from mnslib.azure.clouds import CLOUDS, KUBERNETES_SCOPE, sandbox_cloud


@pytest.mark.parametrize(
    ("name", "sdk_name", "authority"),
    [
        ("public", AzureClouds.AZURE_PUBLIC_CLOUD, AzureAuthorityHosts.AZURE_PUBLIC_CLOUD),
        ("usgov", AzureClouds.AZURE_US_GOVERNMENT, AzureAuthorityHosts.AZURE_GOVERNMENT),
        ("china", AzureClouds.AZURE_CHINA_CLOUD, AzureAuthorityHosts.AZURE_CHINA),
    ],
)
def test_endpoints_are_those_that_the_sdk_knows(name, sdk_name, authority):
    cloud, known = CLOUDS[name], get_arm_endpoints(sdk_name)
    assert cloud.arm_endpoint + "/" == known["resource_manager"]
    assert [cloud.arm_scope] == known["credential_scopes"]
    assert cloud.authority_host == f"https://{authority}"


def test_every_cloud_speaks_to_the_same_aks_application():
    assert {cloud.kubernetes_scope for cloud in CLOUDS.values()} == {KUBERNETES_SCOPE}


def test_the_sandbox_is_a_cloud_of_its_own():
    cloud = sandbox_cloud(
        {
            "arm_endpoint": "https://127.0.0.1:4443/",
            "authority_host": "https://127.0.0.1:4443/entra",
            "graph_endpoint": "https://127.0.0.1:4443/graph",
            "ca_file": "ca.pem",
        }
    )
    assert cloud.name == "sandbox"
    assert cloud.arm_scope == "https://127.0.0.1:4443/.default"
    assert cloud.graph_scope == "https://127.0.0.1:4443/graph/.default"
    assert cloud.ca_file == "ca.pem"
