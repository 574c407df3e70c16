"""Start-up: what the list of commands costs, what every command's help shows, completion."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from decent_cloud.cli.commands import Leaf
from decent_cloud.programs.cli import cli


def _leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command, info_name=name)
    for part in command.list_commands(context):
        child = command.get_command(context, part)
        assert child is not None
        yield from _leaves(f"{name} {part}".strip(), child)


LEAVES = dict(_leaves("", cli))


def test_the_list_of_commands_loads_none_of_them() -> None:
    heavy = ("httpx", "msgspec", "cryptography", "rich", "litestar", "sqlalchemy", "asyncio")
    script = (
        "import sys\n"
        "from decent_cloud.programs.cli import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "rent " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", cli.promises)
def test_the_list_says_of_a_command_what_the_command_says(name: str) -> None:
    promise = cli.promises[name]
    loaded = promise.load()
    if isinstance(loaded, click.Group):
        assert promise.help == (loaded.help or "").strip()
    assert loaded.name == name


@pytest.mark.parametrize("name", LEAVES)
def test_the_help_of_a_command_ends_with_an_example_of_it(name: str) -> None:
    result = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert result.exit_code == 0
    example = result.stdout.partition("Example:\n")[2]
    assert name in example
    assert example.lstrip().startswith("decent ")


@pytest.mark.parametrize("name", LEAVES)
def test_a_command_takes_json_after_its_name(name: str) -> None:
    assert isinstance(LEAVES[name], Leaf)
    assert any("--json" in param.opts for param in LEAVES[name].params)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_code_names_the_program(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_DECENT_COMPLETE" in result.stdout


def test_completion_knows_commands_options_and_choices() -> None:
    asked = {
        "decent ren": "rent",
        "decent contracts ca": "cancel",
        "decent search --ki": "--kind",
        "decent completion fi": "fish",
    }
    for line, expected in asked.items():
        env = {
            "_DECENT_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
        }
        result = CliRunner(env=env).invoke(cli, [], prog_name="decent")
        assert f"plain,{expected}" in result.stdout


def test_the_version_is_shown() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert result.stdout.startswith("decent ")


@pytest.mark.parametrize(
    "args", [["rent", "--hours", "0"], ["nonsense"], ["pool", "create", "x"], ["--wrong"], ["ssh"]]
)
def test_a_mistake_in_the_command_line_is_exit_code_2(args: list[str]) -> None:
    assert CliRunner().invoke(cli, args).exit_code == 2
    as_json = CliRunner().invoke(cli, ["--json", *args])
    assert as_json.exit_code == 2
    assert '"code": "usage"' in as_json.stderr
