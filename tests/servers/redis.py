"""A Redis server of the tests' own, which can be stopped, killed, paused and started again."""

import signal
import socket
from pathlib import Path

from tests.servers.listening import START_S, ListeningProgram
from tests.servers.needed import free_port, program

# As an operator of understudy would have it: nothing on disk, as nothing in it is the only copy.
OPTIONS = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning")


class Redis:
    """A server on a free port of the loopback address, with its files in a folder; `options` go to its command."""

    def __init__(self, folder: Path, *options: str, password: str = "") -> None:
        self._binary = program("redis")
        self._folder = folder
        self._options = (*OPTIONS, *options, *(("--requirepass", password) if password else ()))
        self._password = password
        self._program: ListeningProgram | None = None
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://{f':{self._password}@' if self._password else ''}127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert self._program is None
        command = [self._binary, "--port", str(self.port), "--dir", str(self._folder), *self._options]
        self._program = ListeningProgram(command, self.port, self._folder / "log")

    def stop(self) -> None:
        """Stop it in order; harmless when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it: all that it held is gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again, empty."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Hold it: connections stay open, nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def command(self, *words: str) -> str:
        """The first line of what it answers to a command, as it is on the wire: `+OK`, `:3`."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=START_S) as line:
            if self._password:
                line.sendall(f"AUTH {self._password}\r\n".encode())
                line.recv(100)
            line.sendall(b"*%d\r\n" % len(words))
            for word in words:
                line.sendall(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()))
            answer = b""
            while b"\r\n" not in answer:
                more = line.recv(4096)
                if not more:
                    raise ConnectionError("redis-server closed the connection")
                answer += more
            return answer.split(b"\r\n")[0].decode()

    def change_password(self, password: str) -> None:
        """Want another one from now on, and throw everybody out."""
        assert self.command("CONFIG", "SET", "requirepass", password) == "+OK"
        self._password = password
        self.command("CLIENT", "KILL", "TYPE", "normal")

    def flush(self) -> None:
        """Have it forget everything."""
        assert self.command("FLUSHALL") == "+OK"

    def dump(self) -> bytes:
        """All that it holds, as it would be on a disk."""
        assert self.command("CONFIG", "SET", "rdbcompression", "no") == "+OK"
        assert self.command("SAVE") == "+OK"
        return (self._folder / "dump.rdb").read_bytes()

    def _signal(self, number: int) -> None:
        assert self._program is not None
        self._program.process.send_signal(number)

    def _end(self, number: int) -> None:
        program, self._program = self._program, None
        if program is not None:
            program.process.send_signal(signal.SIGCONT)  # a held one hears nothing
            program.process.send_signal(number)
            program.process.wait(START_S)
