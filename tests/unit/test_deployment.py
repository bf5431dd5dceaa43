"""docs/deployment without an engine: what its files name exists, and nothing in them listens to the network unasked."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prefect.settings
import pytest
import yaml  # type: ignore[import-untyped]
from click.testing import CliRunner

from flows.cli.app import main
from flows.settings.environment import SERVER
from tests.shared_files import REPOSITORY

FOLDER = REPOSITORY / "docs" / "deployment"
DOCKERFILE = FOLDER / "docker" / "Dockerfile"
COMPOSE = yaml.safe_load((FOLDER / "docker" / "compose.yaml").read_text())
KUBERNETES = {
    document["kind"] + "/" + document["metadata"]["name"]: document
    for path in sorted((FOLDER / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
}
PODS = {
    name: document["spec"].get("jobTemplate", document)["spec"]["template"]
    for name, document in KUBERNETES.items()
    if name.startswith(("CronJob/", "Deployment/"))
}


def commands() -> Iterator[list[str]]:
    """Every command line of the files."""
    yield from (service["command"] for service in COMPOSE["services"].values() if "command" in service)
    yield from (pod["spec"]["containers"][0]["args"] for pod in PODS.values())
    for line in (FOLDER / "systemd" / "tic-rates.service").read_text().splitlines():
        if line.startswith("ExecStart="):
            yield [word.removeprefix("/opt/tic-rates/bin/") for word in line.removeprefix("ExecStart=").split()]


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_commands_and_their_options_exist(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = command
    if program == "tic-rates":
        assert main([words[0], "--help"]) == 0
        said = capsys.readouterr().out
    elif program == "dask":
        from distributed.cli import dask_scheduler, dask_worker

        module = {"scheduler": dask_scheduler, "worker": dask_worker}[words[0]]
        said = CliRunner().invoke(module.main, ["--help"]).output
    else:
        assert command[:3] == ["prefect", "server", "start"]  # its help takes Prefect's start, four seconds
        return
    assert all(option in said for option in words if option.startswith("--"))


def test_what_compose_names_is_declared_and_only_this_machine_reaches_it() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        for volume in service.get("volumes", ()):
            name = volume.split(":")[0]
            assert name.startswith("./") or name in COMPOSE["volumes"]
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        assert set(service.get("depends_on", ())) <= set(services)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert {"healthcheck", "restart"} <= set(service)
    build = services["worker"]["build"]
    assert (FOLDER / "docker" / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE
    assert COMPOSE["networks"]["database"]["internal"]


def test_the_servers_settings_are_prefects_and_ours() -> None:
    variables = [name for service in COMPOSE["services"].values() for name in service["environment"]]
    variables += [name for name in COMPOSE["secrets"] if name.startswith("PREFECT_")]
    variables += re.findall(r"\b(PREFECT_[A-Z_]+)=", DOCKERFILE.read_text())
    for name in variables:
        assert not name.startswith("PREFECT_") or hasattr(prefect.settings, name), name
    ours = {name: value for name, value in SERVER.items() if name.startswith(("PREFECT_SERVER_", "DO_NOT"))}
    ours.pop("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS")  # of another way to start a server
    server = COMPOSE["services"]["server"]["environment"]
    assert {name: server[name] for name in ours} == ours


def test_the_image_copies_what_exists_and_installs_by_hashes_as_another_user_than_root() -> None:
    text = DOCKERFILE.read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, flags=re.M)
    assert copied
    ignored = (FOLDER / "docker" / "Dockerfile.dockerignore").read_text()
    for name in " ".join(copied).split():
        assert (REPOSITORY / name).exists()
        assert f"!{name}\n" in ignored
    assert all("--require-hashes" in line or "--no-index" in line for line in re.findall(r"pip install.*", text))
    last = text.rindex("FROM")
    assert "USER ${UID}:${UID}" in text[last:]
    assert os.access(FOLDER / "docker" / "with-secrets.sh", os.X_OK)


def test_secrets_become_variables_and_the_command_gets_its_words(tmp_path: Path) -> None:
    for name in ("TIC_RATES_WEBHOOK", "not-a-name", "1X"):
        (tmp_path / name).write_text("a 'b' $c\n")
    script = str(FOLDER / "docker" / "with-secrets.sh")
    command = [script, "sh", "-c", 'env; echo "$1"', "sh", "two words"]
    said = subprocess.check_output(command, env={"PATH": os.environ["PATH"], "SECRETS": str(tmp_path)}, text=True)
    assert "TIC_RATES_WEBHOOK=a 'b' $c\n" in said
    assert said.endswith("two words\n")
    assert "not-a-name" not in said
    none = subprocess.check_output([script, "echo", "well"], env={"SECRETS": str(tmp_path / "none")}, text=True)
    assert none == "well\n"


def test_what_kubernetes_names_is_declared_and_its_pods_may_do_little() -> None:
    images = set()
    for name, pod in PODS.items():
        spec: dict[str, Any] = pod["spec"]
        (container,) = spec["containers"]
        images.add(container["image"])
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["automountServiceAccountToken"] is False, name
        assert container["securityContext"]["readOnlyRootFilesystem"], name
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert {"requests", "limits"} <= set(container["resources"]), name
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes, name
        for volume in spec["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert f"PersistentVolumeClaim/{claim['claimName']}" in KUBERNETES
    assert len(images) == 1
    for document in KUBERNETES.values():
        if document["kind"] == "Deployment":
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert document["spec"]["selector"]["matchLabels"] == labels
    service = KUBERNETES["Service/tic-rates-dask"]
    assert (
        service["spec"]["selector"].items() <= PODS["Deployment/tic-rates-dask-scheduler"]["metadata"]["labels"].items()
    )
    assert "tcp://tic-rates-dask:8786" in PODS["Deployment/tic-rates-dask-worker"]["spec"]["containers"][0]["args"]


def test_the_cronjob_runs_one_night_at_a_time_and_stops_it_in_order() -> None:
    cron = KUBERNETES["CronJob/tic-rates"]["spec"]
    job = cron["jobTemplate"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert job["activeDeadlineSeconds"] < 24 * 3600
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] >= 60
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [1, 2, 3]
