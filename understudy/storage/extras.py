"""Optional dependencies, and the error for a setting that needs one which is not installed."""


class ExtraNotInstalled(ImportError):
    """A setting needs an optional dependency. The text names the setting, and the extra that installs what is missing.

    `setting` is as a user gave it, such as `redis_url`; `extra` is one of pyproject.toml's.
    """

    def __init__(self, setting: str, extra: str) -> None:
        super().__init__(setting, extra)
        self.setting = setting
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.setting} needs the extra {self.extra}: pip install 'understudy[{self.extra}]'"
