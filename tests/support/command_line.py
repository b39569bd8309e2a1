"""`lenet-edge` as a user sees it, run in the test's own process."""

from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner, Result


@dataclass(frozen=True)
class CommandLine:
    """Runs `lenet-edge` in this process, as a user would see it."""

    folder: Path

    def __call__(self, *arguments: str | Path) -> Result:
        from lenet_edge.cli import app

        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def fails(self, *arguments: str | Path, code: int = 1) -> str:
        """Run a command that has to fail; return its one line on stderr."""
        result = self(*arguments)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1, result.stderr
        assert "Traceback" not in result.output
        return lines[0]
