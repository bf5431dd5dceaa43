"""Completion of commands and options by the shell: `tic-rates --install-completion` writes what the shell reads."""

import os
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete, shell_complete

from transforms.errors import UsageError

PROGRAM = "tic-rates"
VARIABLE = "_TIC_RATES_COMPLETE"  # what the shell's script sets when it asks for words

_SHELLS: dict[str, tuple[type[ShellComplete], str, str]] = {
    "bash": (BashComplete, ".local/share/bash-completion/completions/tic-rates", "start a new shell"),
    "zsh": (
        ZshComplete,
        ".zfunc/_tic-rates",
        "put `fpath+=~/.zfunc; autoload -Uz compinit; compinit` in ~/.zshrc, and start a new shell",
    ),
    "fish": (FishComplete, ".config/fish/completions/tic-rates.fish", "start a new shell"),
}


def install(program: click.Command, home: Path, shell: str) -> str:
    """Write the completion script of ``shell``; returns where it is, and the next step.

    Args:
        shell: a name or path, as in the environment variable SHELL.
    """
    name = Path(shell).name
    if name not in _SHELLS:
        raise UsageError(f"--install-completion: SHELL is {shell!r}; set it to one of {', '.join(_SHELLS)}")
    kind, place, step = _SHELLS[name]
    path = home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(kind(program, {}, PROGRAM, VARIABLE).source(), encoding="utf-8")
    return f"{path}: {step}"


def complete(program: click.Command) -> int:
    """Print the words that the shell asks for; returns the exit code."""
    return shell_complete(program, {}, PROGRAM, VARIABLE, os.environ[VARIABLE])
