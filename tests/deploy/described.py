"""What the product has of that which files for its operation name: options of commands, and routes."""

import click
from quart import Quart

from tests.rigs.doc_tables import ROOT
from understudy.cli.main import main
from understudy.web.api.operations import blueprint

DEPLOY = ROOT / "deploy"


def parsed(words: list[str]) -> None:
    """Parse the command's options without running it."""
    command = main.commands[words[0]]
    command.make_context(words[0], words[1:], parent=click.Context(main))


def paths() -> set[str]:
    app = Quart("operations", static_folder=None)
    app.register_blueprint(blueprint)
    return {rule.rule for rule in app.url_map.iter_rules()}
