"""`make sanitize`: the C kernel under AddressSanitizer and UndefinedBehaviorSanitizer, and looked at by analysers.

    python -m tests.fuzz.sanitize [EXECUTIONS]

First every warning is an error, gcc's static analyser looks at every level, and cppcheck where it is installed. Then
``kernel_fuzz.c``, the kernel alone on changed documents in buffers of exactly the promised size, for each level of this
processor; by libFuzzer too where clang has it. Last the readers' tests with the sanitized library, in a copy of the
tree.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import hatch_build
from tests.fuzz.seeds import all_seeds
from tests.shared_files import REPOSITORY
from transforms.scan.scan_kernel.library import levels

EXECUTIONS = 20_000  # of each level
LIBFUZZER_SECONDS = 60
LONGEST_SEED = 8_000
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g", "-O1")
SOURCE = Path(__file__).with_name("kernel_fuzz.c")
KERNEL = REPOSITORY / hatch_build.FOLDER
COPIED = ("flows", "transforms", "schemas", "tests", "hatch_build.py", "pyproject.toml", "README.md")
SUITE = [
    "tests/unit/scan/test_read_scan.py",
    "tests/unit/scan/test_fuzz.py",
    "tests/unit/scan/test_fuzz_finds.py",
    "tests/unit/contents/test_read_index.py",
    "tests/unit/cms/test_large_csv.py",
]


def run(command: list[str], **options: object) -> None:
    """Run a command; what it prints is seen."""
    print("$", " ".join(command[:4]), "...", flush=True)
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]


def said(command: list[str]) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def analyse(folder: Path) -> None:
    """Warnings as errors; gcc's static analyser; cppcheck where it is installed."""
    hatch_build.build(folder / "werror.so", ("-Werror",))
    for level in levels():
        command = hatch_build.command_of(level)
        if (
            "gcc"
            in subprocess.run([command[0], "--version"], capture_output=True, text=True, check=True).stdout.lower()
        ):
            run([*command, "-fanalyzer", "-Werror", "-c", str(KERNEL / "kernel.c"), "-o", str(folder / "analysed.o")])
    if cppcheck := shutil.which("cppcheck"):
        checks = ("--enable=warning,portability", "--error-exitcode=1", "--inline-suppr", "--quiet")
        run([cppcheck, *checks, "-DLEVEL=portable", "-DPORTABLE", f"-I{KERNEL}", str(KERNEL / "kernel.c")])


def pieces_of(document: bytes) -> Iterator[bytes]:
    """A document, and elements of its root arrays and their rates: what the kernel decodes."""
    yield document
    try:
        parsed = json.loads(document)
    except ValueError:
        return
    for key in ("in_network", "provider_references"):
        elements = parsed.get(key) if isinstance(parsed, dict) else None
        for element in elements[:3] if isinstance(elements, list) else []:
            yield json.dumps(element, separators=(",", ":")).encode()
            rates = element.get("negotiated_rates") if isinstance(element, dict) else None
            yield from (json.dumps(rate).encode() for rate in (rates[:2] if isinstance(rates, list) else []))


def write_seeds(folder: Path) -> list[str]:
    """Files to begin with."""
    folder.mkdir()
    places: list[str] = []
    for seed in all_seeds(Random(1), 100):
        for piece in pieces_of(seed):
            place = folder / str(len(places))
            place.write_bytes(piece[:LONGEST_SEED])
            places.append(str(place))
    return places


def fuzz(folder: Path, executions: int) -> None:
    """The kernel alone, at each level."""
    seeds = write_seeds(folder / "seeds")
    for number, level in enumerate(levels(), start=1):
        program = folder / f"fuzz_{level}"
        run([*hatch_build.command_of(level), *SANITIZERS, str(SOURCE), "-o", str(program)])
        run([str(program), str(executions), str(number), *seeds])
    clang = shutil.which("clang")
    if clang is not None:
        program = folder / "libfuzzer"
        _, *flags = hatch_build.command_of("sse2")
        run([clang, *flags, *SANITIZERS, "-fsanitize=fuzzer", "-DWITH_LIBFUZZER", str(SOURCE), "-o", str(program)])
        run([str(program), f"-max_total_time={LIBFUZZER_SECONDS}", "-max_len=4096", str(folder / "seeds")])


def read(folder: Path) -> None:
    """The readers' tests with the sanitized library."""
    tree = folder / "tree"
    tree.mkdir()
    for name in COPIED:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tree / name)
    own = os.environ | {"PYTHONPATH": str(tree)}
    run([sys.executable, "hatch_build.py", *SANITIZERS], cwd=tree, env=own)
    compiler = (hatch_build.compiler() or ["cc"])[0]
    runtimes = [said([compiler, f"-print-file-name={name}"]) for name in ("libasan.so", "libubsan.so")]
    own |= {"LD_PRELOAD": " ".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    run([sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *SUITE], cwd=tree, env=own)


def main(executions: str = str(EXECUTIONS)) -> None:
    """All of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        analyse(folder)
        fuzz(folder, int(executions))
        read(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
