"""The output of `understudy chat`: shows text from a server so that it is harmless for a terminal.

Text from a server cannot move the cursor, and no line of an answer starts in the column of the prompt on a terminal.
"""

import os
import re
import sys
from contextlib import suppress

from attrs import define, field
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from understudy.cli.output import neutralise


@define
class ChatConsole:
    """Writes answers and notes: both to a terminal, or only answers to a pipe."""

    answers: Console
    notes: Console
    prompts: bool = False
    _column: int = field(default=0, init=False)
    _prompted: bool = field(default=False, init=False)
    _hidden: bool = field(default=False, init=False)

    @classmethod
    def of_process(cls) -> "ChatConsole":
        """Return a console over the standard streams of this process."""
        streams = [stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr)]  # noqa: SIM115 - None: closed
        for stream in streams:
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # the terminal's encoding may lack characters of an answer
        out, beside = (
            Console(file=stream, force_terminal=tty, color_system="auto" if tty else None, highlight=False)
            for stream in streams
            for tty in [stream.isatty()]
        )
        return cls(out, out if out.is_terminal else beside, prompts=sys.stdin is not None and sys.stdin.isatty())

    def note(self, text: str, style: str = "dim") -> None:
        """Show a line that is not part of an answer. `text` must be neutralised."""
        self.end_line()
        line = Text(text, style)
        if self.notes.is_terminal:
            self.notes.print(Padding(line, (0, 0, 0, 2), expand=False))
        else:
            self.notes.print(line, soft_wrap=True)

    def write(self, text: str) -> None:
        """Show the next piece of an answer."""
        if not text:
            return
        if self._prompted:
            self.end_line()
        shown = self._indent(neutralise(text)) if self.answers.is_terminal else neutralise(text)
        if not self.answers.is_terminal:
            self._column = 0 if shown.endswith("\n") else 1
        self.answers.file.write(shown)
        self.answers.file.flush()

    def end_line(self) -> None:
        """Start a new line, unless the cursor is at the start of one."""
        if self._prompted or self._column:
            console = self.notes if self._prompted else self.answers
            console.file.write("\n")
            console.file.flush()
        self._prompted, self._column = False, 0

    def prompt(self, name: str) -> None:
        """Show a prompt, if there is a terminal to read from."""
        self.end_line()
        if self.prompts:
            self.notes.print(Text(f"{name}> ", "bold cyan"), end="", soft_wrap=True)
            self.notes.file.flush()
            self._prompted = True

    def hide_typing(self, hidden: bool) -> None:
        """Stop the terminal's echo of typed characters except for ends of lines, or start it again."""
        if not self.prompts or self._hidden is hidden:
            return
        with suppress(ImportError, OSError, ValueError):
            import termios

            with suppress(termios.error):
                flags = termios.tcgetattr(sys.stdin)
                flags[3] = flags[3] & ~termios.ECHO | termios.ECHONL if hidden else flags[3] | termios.ECHO
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, flags)
                self._hidden = hidden

    def end_prompt(self) -> None:
        """Record that a line was entered, which ended the prompt's line."""
        self._prompted = False

    def _indent(self, text: str) -> str:
        """Wrap by words and indent, so that no line starts in the column of a prompt."""
        room = max(self.answers.width - 3, 20)
        out: list[str] = []
        for word in re.findall(r"\n|[^\S\n]+|\S+", text.expandtabs(4)):
            if word == "\n":
                out.append("\n")
                self._column = 0
                continue
            for piece in chop_cells(word, room):
                if self._column and self._column + cell_len(piece) > room:
                    out.append("\n")
                    self._column = 0
                    if piece.isspace():
                        continue
                out.append(piece if self._column else f"  {piece}")
                self._column += cell_len(piece)
        return "".join(out)
