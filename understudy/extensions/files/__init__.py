"""Files: stores and previews the files that users attach to messages and those that tools make for them.

The references in messages are the kernel's. Without this extension messages with files are refused.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension, UserData

if TYPE_CHECKING:
    from quart import Blueprint
    from sqlalchemy import Table

    from actors import ChildSpec
    from understudy.web.context import WebContext


class FilesExtension(Extension):
    """See the module."""

    name = "files"
    about = "attach files to messages, and make some"

    def settings(self) -> type:
        """Return the settings of files: the largest upload."""
        from understudy.extensions.files.settings import FileSettings

        return FileSettings

    def tables(self) -> "Sequence[Table]":
        """Return the tables of files and, for PostgreSQL, of their bytes."""
        from understudy.extensions.files.tables import file_parts, files

        return [files, file_parts]

    def user_data(self) -> Sequence[UserData]:
        """Return the files of a user, which messages refer to."""
        from understudy.extensions.files.storage import record_of
        from understudy.extensions.files.stores import remove_bytes
        from understudy.extensions.files.tables import files

        return [UserData("files", files, record_of, attached=True, outside=remove_bytes)]

    async def open(self, server: "WebContext") -> None:
        """Open the store of files, delete unfinished uploads of a killed server, and let messages and tools use it."""
        import trio

        from understudy.chat.user_files import FilesOfUsers
        from understudy.extensions.files.attachments import Attachments
        from understudy.extensions.files.stores import BoundedFiles, FileQuotas, open_files

        settings, store = server.settings, server.store
        files, copies = open_files(settings, store)
        await trio.to_thread.run_sync(files.sweep)
        bounded = BoundedFiles(files, FileQuotas.of(store, settings.limits, tenants=bool(settings.tenant_claim)))
        server.parts.add(bounded)
        if copies is not None:
            server.parts.add(copies)
        of_user = partial(Attachments, store=store, files=bounded, content_filter=server.content_filter)
        server.parts.add(FilesOfUsers(of_user))

    def routes(self) -> "Sequence[Blueprint]":
        """`/api/files`."""
        from understudy.extensions.files.routes import blueprint

        return [blueprint]

    def children(self, server: "WebContext") -> "Sequence[ChildSpec]":
        """Return the actors that delete unreferenced files, and old local copies of files that are in PostgreSQL."""
        from actors import ChildSpec
        from understudy.extensions.files.cache import FileCache, FileCacheSweeper
        from understudy.extensions.files.retention import FileRetention
        from understudy.extensions.files.stores import BoundedFiles

        files, count = server.parts[BoundedFiles].files, partial(server.metrics.removed, "files")
        retention = ChildSpec("retention", partial(FileRetention, server.store, files, server.node, count))
        copies = server.parts.find(FileCache)
        return [retention] if copies is None else [retention, ChildSpec("copies", partial(FileCacheSweeper, copies))]


EXTENSION: Final = FilesExtension()
