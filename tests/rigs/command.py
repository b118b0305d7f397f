"""The command `understudy`, called in the test's own process."""

from pathlib import Path

from click.testing import CliRunner, Result

from understudy.cli.main import main


def understudy(*arguments: str | Path, **environment: str) -> Result:
    """Call the command, with these variables besides the process's own."""
    return CliRunner().invoke(main, list(map(str, arguments)), env=environment)


def said(*arguments: str | Path, **environment: str) -> str:
    """Return the output of a command that goes well."""
    done = understudy(*arguments, **environment)
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return done.stdout


def refusal(*arguments: str | Path, code: int = 1, **environment: str) -> str:
    """Return what a command says that fails with this exit code and prints nothing else."""
    done = understudy(*arguments, **environment)
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert "Traceback" not in done.stderr
    return done.stderr
