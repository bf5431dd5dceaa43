"""A real S3 server for the tests: one-node Ceph with its RADOS Gateway, in memory, on loopback, from Debian's packages.

``.ci/run`` installs radosgw, ceph-mon, ceph-osd, ceph-mgr and ceph-common where it may; elsewhere what needs it is
skipped. Started in some 15 seconds, stopped by process id; nothing outlives the ``with`` but the log folder given.
"""

import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

PROGRAMS = ("ceph-mon", "ceph-osd", "ceph-mgr", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool")
PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.2
MEMORY_BYTES = 6 << 30

_CONF = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_v1}]
mon initial members = a
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = {folder}/keyring
mon warn on insecure global id reclaim allowed = false
auth allow insecure global id reclaim = true
run dir = {folder}
log file = {folder}/$name.log
admin socket = {folder}/$name.asok
mon cluster log file = {folder}/cluster.log
pid file =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
osd objectstore = memstore
memstore device bytes = {memory}
mon data = {folder}/mon
mgr data = {folder}/mgr
osd data = {folder}/osd
rgw data = {folder}/rgw
crash dir = {folder}/crash
mgr initial modules =
rgw dns name = localhost
rgw thread pool size = 32
"""


@dataclass(frozen=True)
class Server:
    """A running server, and one user of it."""

    url: str
    access_key: str
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        """What every S3 client takes: the platform's own chain."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


def missing() -> str | None:
    """Why no server can be started here; None where one can."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"no {', '.join(absent)}: install radosgw ceph-mon ceph-osd ceph-mgr ceph-common" if absent else None


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A server with its files under ``folder``."""
    mon, mon_v1, port = _free_ports(3)
    conf = folder / "ceph.conf"
    fsid = str(uuid.uuid4())
    conf.write_text(_CONF.format(fsid=fsid, mon=mon, mon_v1=mon_v1, folder=folder, memory=MEMORY_BYTES))
    for name in ("mon", "mgr", "osd", "rgw", "crash"):
        (folder / name).mkdir()
    address = f"[v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_v1}]"
    _run(conf, "monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, str(folder / "monmap"))
    _make_keyring(conf, folder / "keyring")
    _run(
        conf, "ceph-mon", "--mkfs", "-i", "a", "--monmap", str(folder / "monmap"), "--keyring", str(folder / "keyring")
    )
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(conf, folder, "ceph-mon", "-i", "a"))
        _run(conf, "ceph", "--connect-timeout", "60", "osd", "new", fsid)
        started.append(_start(conf, folder, "ceph-mgr", "-i", "x"))
        _run(conf, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", fsid)
        started.append(_start(conf, folder, "ceph-osd", "-i", "0"))
        frontend = f"beast endpoint=127.0.0.1:{port}"
        started.append(_start(conf, folder, "radosgw", "-n", "client.rgw", f"--rgw-frontends={frontend}"))
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, started)
        server = Server(url, "tests", "not-a-secret-at-all")
        keys = ("--access-key", server.access_key, "--secret-key", server.secret_key)
        _run(conf, "radosgw-admin", "user", "create", "--uid=tests", "--display-name=tests", *keys)
        yield server
    finally:
        for process in reversed(started):
            process.kill()
        for process in started:
            process.wait()


def _make_keyring(conf: Path, keyring: Path) -> None:
    """One for all of them: nothing but this machine's loopback reaches them."""
    keyring.touch()
    for name in ("mon.", "mgr.x", "osd.0", "client.admin", "client.rgw"):
        rights = [word for service in ("mon", "osd", "mgr") for word in ("--cap", service, "allow *")]
        _run(conf, "ceph-authtool", str(keyring), "--gen-key", "-n", name, *rights)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _run(conf: Path, program: str, *words: str) -> None:
    command = [program, *words] if program in ("monmaptool", "ceph-authtool") else [program, "-c", str(conf), *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}"


def _start(conf: Path, folder: Path, program: str, *words: str) -> "subprocess.Popen[bytes]":
    with (folder / f"{program}.out").open("wb") as out:
        command = [program, "-f", "-c", str(conf), *words]
        return subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)


def _wait_for(url: str, started: Sequence["subprocess.Popen[bytes]"]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _answers(url):
        ended = [process.args for process in started if process.poll() is not None]
        assert not ended, f"{ended} ended; its log says why"
        assert time.monotonic() < deadline, f"no answer from {url}"
        time.sleep(LOOK_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except HTTPError:
        return True
    except (URLError, OSError):
        return False
