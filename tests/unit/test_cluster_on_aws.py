"""cluster.yaml on an AWS account that moto plays, set up as docs/operations.md says."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from cluster_files import CPU, FILES, GPU, launched
from moto import mock_aws
from ray.autoscaler._private.util import prepare_config
from tests_support import ROOT

pytestmark = pytest.mark.slow  # moto takes half a minute to list all machines that AWS has

ACCOUNT = ROOT / "clusters" / "aws-account.yaml"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Set up an account as docs/operations.md does; yield cluster.yaml with what it says filled
    in, bootstrapped by Ray."""
    home = tmp_path_factory.mktemp("home")  # Ray leaves a key there
    env = {
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1", "HOME": str(home),
    }  # fmt: skip
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        group = stack_up(Bucket="my-bucket", SshFrom="203.0.113.7/32")
        image = boto3.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        text = FILES["aws"].read_text(encoding="utf-8")
        yield bootstrapped(text.replace("ami-REPLACE", image).replace("sg-REPLACE", group))


def stack_up(**given: str) -> str:
    """Make what clusters/aws-account.yaml says; return the security group."""
    stacks = boto3.client("cloudformation")
    stacks.create_stack(
        StackName="raytl", TemplateBody=ACCOUNT.read_text(encoding="utf-8"),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )  # fmt: skip
    (stack,) = stacks.describe_stacks(StackName="raytl")["Stacks"]
    return str({o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}["SecurityGroup"])


def bootstrapped(text: str) -> dict[str, Any]:
    """Do what `ray up` does before it starts the head."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    config = AWSNodeProvider.fillout_available_node_types_resources(
        prepare_config(yaml.safe_load(text))
    )
    return dict(bootstrap_aws(config))


def test_on_an_account_every_node_type_starts(account: dict[str, Any]) -> None:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    provider = AWSNodeProvider(account["provider"], account["cluster_name"])
    for name, each in account["available_node_types"].items():
        provider.create_node(each["node_config"], {"ray-user-node-type": name}, 1)
    found = [
        instance
        for reservation in boto3.client("ec2").describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    ]
    by_type = {
        next(tag["Value"] for tag in instance["Tags"] if tag["Key"] == "ray-user-node-type"):
        (instance.get("InstanceLifecycle"), instance["IamInstanceProfile"]["Arn"].split("/")[-1])
        for instance in found
    }  # fmt: skip
    assert by_type == {
        "head": (None, "raytl-head"),
        "cpu_spot": ("spot", "raytl-worker"),
        "cpu_on_demand": (None, "raytl-worker"),
        "gpu_spot": ("spot", "raytl-worker"),
        "gpu_on_demand": (None, "raytl-worker"),
    }
    assert {instance["MetadataOptions"]["HttpTokens"] for instance in found} == {"required"}


def test_on_an_account_ssh_is_open_to_one_address(account: dict[str, Any]) -> None:
    groups = boto3.client("ec2").describe_security_groups()["SecurityGroups"]
    assert not [g for g in groups if g["GroupName"].startswith("ray-autoscaler")], "Ray's own"
    ranges = [
        (rule.get("FromPort"), rule.get("ToPort"), ip["CidrIp"])
        for group in groups
        for rule in group["IpPermissions"]
        for ip in rule["IpRanges"]
    ]
    assert ranges == [(22, 22, "203.0.113.7/32")]


def test_on_an_account_a_head_may_give_workers_their_profile(account: dict[str, Any]) -> None:
    iam = boto3.client("iam")
    policy = iam.get_role_policy(RoleName="raytl-head", PolicyName="workers")["PolicyDocument"]
    read = yaml.safe_load(policy) if isinstance(policy, str) else policy  # as moto prints it
    (passing,) = [each for each in read["Statement"] if each["Action"] == "iam:PassRole"]
    assert passing["Resource"] == iam.get_role(RoleName="raytl-worker")["Role"]["Arn"]
    assert not iam.list_role_policies(RoleName="raytl-worker")["PolicyNames"]


def test_on_an_account_priority_decides_between_machines_of_one_kind(
    account: dict[str, Any],
) -> None:
    """Ray adds what it knows of each machine, which must not tell the two of a pair apart."""
    assert "memory" in account["available_node_types"]["gpu_spot"]["resources"]
    assert launched(account, [GPU] * 9) == {"gpu_spot": 2}
    assert launched(account, [CPU] * 9) == {"cpu_spot": 2}
    assert launched(account, [GPU] * 9, ("gpu_spot",)) == {"gpu_on_demand": 2}


def test_the_account_template_is_one() -> None:
    lint = shutil.which("cfn-lint", path=Path(sys.executable).parent)
    assert lint is not None
    done = subprocess.run([lint, str(ACCOUNT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
