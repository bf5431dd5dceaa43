"""A systemd of the tests' own: PID 1 of new namespaces, on a root file system in memory, with given units alone.

Of the machine it sees /usr, this Python and the repository, all read-only, and its loopback network. So nothing outside
of it can change, whatever a unit does. It needs root, systemd and util-linux.
"""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.command_line import wait_until
from tests.shared_files import REPOSITORY

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = REPOSITORY / "docs" / "deployment" / "systemd"
TARGETS = ("basic", "sysinit", "shutdown", "timers", "network-online", "ready")
NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--cgroup")
PASSWD = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"

BOOT = """
set -eu
mount --make-rprivate /
mkdir -p "$ROOT" "$GROUPS_OF_TESTS" && mount -t cgroup2 cgroup2 "$GROUPS_OF_TESTS"
mkdir -p "$GROUPS_OF_TESTS/$NAME" && echo $$ > "$GROUPS_OF_TESTS/$NAME/cgroup.procs"
mount -t tmpfs -o mode=755 root "$ROOT" && cd "$ROOT"
mkdir -p usr etc proc sys dev run tmp var/lib var/cache var/log opt/python opt/packages opt/source root home old
for each in bin sbin lib lib32 lib64 libx32; do if [ -L /$each ]; then cp -P /$each .; fi; done
read_only() { mount --bind "$1" "$2" && mount -o remount,bind,ro "$2"; }
read_only /usr usr && read_only "$PYTHON" opt/python
read_only "$PACKAGES" opt/packages && read_only "$SOURCE" opt/source
mount -t proc proc proc && mount -t tmpfs run run && mount -t tmpfs -o mode=1777 tmp tmp && mount -t tmpfs dev dev
for each in null zero full random urandom tty; do touch dev/$each && mount --bind /dev/$each dev/$each; done
ln -s pts/ptmx dev/ptmx
cp /etc/ld.so.cache etc/ && cp -r "$FILES"/. . && chmod 755 opt/tic-rates/bin/tic-rates
exec unshare --cgroup sh -eu -c '
mount -t sysfs -o ro sysfs sys && mount -t cgroup2 cgroup2 sys/fs/cgroup && pivot_root . old && cd / && umount -l /old
mount --make-rshared /
exec env -i container=tests SYSTEMD_UNIT_PATH=/units PATH=/usr/sbin:/usr/bin \
    /lib/systemd/systemd --system --unit=ready.target --log-target=console --show-status=no'
"""
PROBE = """
mount -t tmpfs root /mnt && mkdir /mnt/groups && mount -t cgroup2 cgroup2 /mnt/groups
mkdir /mnt/groups/tic-rates-probe-$$ && rmdir /mnt/groups/tic-rates-probe-$$
"""
CLEAN = """
mount --make-rprivate / && mount -t cgroup2 cgroup2 "$GROUPS_OF_TESTS" && cd "$GROUPS_OF_TESTS"
[ ! -d "$NAME" ] || find "$NAME" -depth -type d -exec rmdir {} \\;
"""


@cache
def missing() -> str | None:
    """What keeps systemd from being tried here; None where nothing does."""
    if os.geteuid() != 0:
        return "needs root, to make namespaces"
    absent = [name for name in ("unshare", "nsenter", "pivot_root", "systemctl") if shutil.which(name) is None]
    if not SYSTEMD.exists() or absent or not Path("/bin").is_symlink():
        return f"needs systemd, a merged /usr and {', '.join(absent) or 'util-linux'}"
    tried = subprocess.run(
        ["unshare", "--fork", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "sh", "-euc", PROBE],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"may not make namespaces and control groups: {tried.stderr.strip()}" if tried.returncode else None


@dataclass(frozen=True)
class Systemd:
    """A running systemd. ``folder``: its /, as seen from outside."""

    pid: int

    @property
    def folder(self) -> Path:
        """Its root file system, as the test sees it."""
        return Path(f"/proc/{self.pid}/root")

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """A command inside."""
        into = ["nsenter", "--target", str(self.pid), *NAMESPACES, "--root", "--wd"]
        return subprocess.run([*into, *command], capture_output=True, text=True, check=False)

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        said = self.run("systemctl", "show", unit, f"--property={','.join(names)}").stdout
        return dict(line.split("=", 1) for line in said.splitlines())


def write_root(files: Path, units: Mapping[str, str]) -> None:
    """What the root file system has besides the machine's /usr. Args: units: further unit files by name."""
    folder = files / "units"
    folder.mkdir(parents=True)
    for path in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        shutil.copy(path, folder)
    for target in TARGETS:
        (folder / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    with (folder / "ready.target").open("a") as ready:
        ready.write("After=tic-rates.service\n")  # a unit that something names stays loaded, and with it how it ended
    for name, text in units.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    etc = files / "etc"
    (etc / "tic-rates").mkdir(parents=True)
    (etc / "passwd").write_text(f"{PASSWD}tic-rates:x:900:900::/var/lib/tic-rates:/bin/false\n")
    (etc / "group").write_text(f"{GROUP}tic-rates:x:900:\n")
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (etc / "os-release").write_text("ID=tests\n")
    command = files / "opt" / "tic-rates" / "bin" / "tic-rates"
    command.parent.mkdir(parents=True)
    python = f"/opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    libraries = "LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/source:/opt/packages"
    command.write_text(f'#!/bin/sh\n{libraries} exec {python} -m flows.cli.app "$@"\n')


@contextmanager
def systemd(folder: Path, units: Mapping[str, str]) -> Iterator[Systemd]:
    """A systemd that has started; all that runs in it is killed at the end."""
    write_root(folder / "files", units)
    variables = {
        "ROOT": str(folder / "root"),
        "GROUPS_OF_TESTS": str(folder / "groups"),
        "NAME": f"tic-rates-test-{os.getpid()}",
        "FILES": str(folder / "files"),
        "PYTHON": sys.base_prefix,
        "PACKAGES": sysconfig.get_path("purelib"),
        "SOURCE": str(REPOSITORY),
    }
    log = folder / "systemd.log"
    command = ["unshare", "--fork", "--kill-child", "--mount", "--pid", "--uts", "--ipc", "bash", "-c", BOOT]
    with log.open("wb") as output:
        unshare = subprocess.Popen(command, env=os.environ | variables, stdout=output, stderr=output)
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
    try:
        wait_until(lambda: unshare.poll() is not None or children.read_text().strip() != "", "the first process")
        assert unshare.poll() is None, log.read_text()
        running = Systemd(int(children.read_text().split()[0]))
        wait_until(
            lambda: unshare.poll() is not None or "active" in running.show("ready.target", "ActiveState").values(),
            "systemd",
        )
        assert unshare.poll() is None, log.read_text()
        yield running
    finally:
        if unshare.poll() is None:
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
        unshare.wait()
        subprocess.run(["unshare", "--mount", "sh", "-c", CLEAN], env=os.environ | variables, check=True)
