"""Groups of commands to which extensions add commands, and `understudy extensions`."""

from collections.abc import Container
from typing import Any

import click

from understudy.cli.options import load_settings
from understudy.cli.output import print_table
from understudy.extension import Extension
from understudy.installed import ExtensionFault, brought, chosen, installed, missing


class ExtendedGroup(click.Group):
    """A group with additional commands of extensions, which are loaded only when they may be needed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._extended = False

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all commands."""
        self._extend()
        return super().list_commands(context)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command of a name, or None. Extensions are loaded only for a name that the group does not have."""
        if name not in self.commands:
            self._extend()
        return super().get_command(context, name)

    def _extend(self) -> None:
        if self._extended:
            return
        self._extended = True
        try:
            for extension in installed().values():
                terminal = brought(extension.terminal)
                for command in terminal.admin if self.name == "admin" else terminal.commands:
                    if command.name in self.commands:
                        claim = f"claims the command {command.name}, which there is already"
                        raise ExtensionFault(f"the extension {extension.name} {claim}: uninstall or mend it")
                    self.add_command(command)
        except ExtensionFault as fault:
            raise click.ClickException(str(fault)) from fault


@click.command()
def extensions() -> None:
    """List the extensions: which are on, why others are not, and what each brings."""
    on = chosen(load_settings().extensions)
    rows = []
    for name, extension in installed().items():
        state = "on" if name in on else f"off: {_why(extension, on)}"
        rows.append([name, state, extension.about, ", ".join(parts_of(extension))])
    print_table([["extension", "", "what it is for", "brings"], *rows])


def _why(extension: Extension, on: Container[str]) -> str:
    """Return why an extension is off."""
    required = next((f"it requires {name}, which is not on" for name in extension.requires if name not in on), "")
    return missing(extension) or required or "by the setting `extensions`"


def parts_of(extension: Extension) -> list[str]:
    """Return the names of the parts that an extension overrides."""
    return [name for name in vars(Extension) if name in vars(type(extension)) and callable(getattr(Extension, name))]
