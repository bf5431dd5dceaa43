"""The package's build hook: compiles the scanning reader's C sources. ``python hatch_build.py`` does it in place.

The compiler is ``$CC``, ``cc``, ``gcc`` or ``clang``; where there is none, the one in the wheel ``ziglang``. Where
none works the package is installed without the library, and the reader that parses every byte takes its place.
"""

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # called by hand where the build backend is not installed
    BuildHookInterface = object  # type: ignore[assignment,misc]

ROOT = Path(__file__).resolve().parent
FOLDER = Path("transforms", "scan", "scan_kernel")
ZIG = "ziglang==0.15.2"  # as in .ci/compiler.lock

STANDARD = ("-std=c11", "-O2", "-fPIC", "-fvisibility=hidden")
WARNINGS = (  # CI adds -Werror: a compiler that is not known yet may warn of more
    *("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-Wstrict-prototypes", "-Wcast-qual"),
    *("-Wvla", "-Wpointer-arith", "-Wdouble-promotion"),
)
AVX2 = ("-mavx2", "-mbmi", "-mbmi2", "-mpopcnt", "-mpclmul")
FLAGS = {
    "portable": ("-DPORTABLE",),
    "avx2": AVX2,
    "avx512": (*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl"),
}  # of a level, beside what every compiler for that machine offers
ZIG_FLAGS = {"avx512": ("-mcpu=x86_64_v4",)}  # which of itself compiles for the very processor that it runs on


def _module(name: str) -> ModuleType:
    """One of the package's modules, without importing the package: what it needs may not be installed yet."""
    spec = importlib.util.spec_from_file_location(name, ROOT / FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STAMP = _module("stamp")


def compiler() -> list[str] | None:
    """The command that compiles C; None where there is none."""
    if named := os.environ.get("CC"):
        return shlex.split(named)
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found is not None:
        return [found]
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


def command_of(level: str) -> list[str]:
    """What compiles the kernel for one level."""
    command = compiler()
    if command is None:
        raise FileNotFoundError("no C compiler: neither cc, gcc, clang nor the package ziglang is here")
    of_zig = ZIG_FLAGS.get(level, ("-mcpu=baseline",)) if "ziglang" in command else ()
    return [*command, *STANDARD, *WARNINGS, f"-I{ROOT / FOLDER}", f"-DLEVEL={level}", *of_zig, *FLAGS.get(level, ())]


def build(target: Path, extra: tuple[str, ...] = (), machine: str = platform.machine()) -> None:
    """Compile and link the library.

    Args: extra: flags for the compiler, such as a sanitizer's.

    Raises:
        OSError, subprocess.CalledProcessError: there is no compiler, or it refuses.
    """
    sources = ROOT / FOLDER
    stamp = STAMP.stamp_of(lambda name: (sources / name).read_bytes())
    said_of_itself = (f'-DSTAMP="{stamp}"', f'-DMACHINE="{machine}"', "-c", str(sources / "library.c"))
    with tempfile.TemporaryDirectory() as name:
        os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", name)  # hundreds of megabytes that nobody needs again
        steps = [("library", [*command_of("library"), *extra, *said_of_itself])]
        for level in STAMP.LEVELS.get(machine, STAMP.LEVELS[""]):
            steps.append((level, [*command_of(level), *extra, "-c", str(sources / "kernel.c")]))
        objects = [str(Path(name, f"{step}.o")) for step, _ in steps]
        commands = [[*step, "-o", made] for (_, step), made in zip(steps, objects, strict=True)]
        with ThreadPoolExecutor() as threads:
            list(threads.map(partial(subprocess.run, check=True, capture_output=True), commands))
        linked = Path(name, STAMP.LIBRARY)
        link = [*command_of("library"), *extra, "-shared", *objects, "-o", str(linked)]
        subprocess.run(link, check=True, capture_output=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(linked, beside)
        beside.replace(target)  # a process that has the old one open keeps it


def build_in_place(extra: tuple[str, ...] = ()) -> str | None:
    """Build the library beside its sources: why that failed, or None. What failed leaves no library."""
    target = ROOT / FOLDER / STAMP.LIBRARY
    try:
        build(target, extra)
    except (OSError, subprocess.CalledProcessError) as error:
        target.unlink(missing_ok=True)
        said = getattr(error, "stderr", None) or b""
        return f"{error}\n{said.decode(errors='replace')}".strip()
    return None


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls."""

    def dependencies(self) -> list[str]:
        """The compiler that comes as a wheel, where the machine has none: for the build alone."""
        return [] if compiler() else [ZIG]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, for a wheel and for an editable installation."""
        if self.target_name != "wheel":
            return
        failed = build_in_place()
        if failed is not None:
            print(f"the compiled scanner is left out, ijson will read: {failed}", file=sys.stderr)
            return
        build_data["artifacts"].append(str(FOLDER / STAMP.LIBRARY))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


if __name__ == "__main__":
    if problem := build_in_place(tuple(sys.argv[1:])):
        sys.exit(problem)
