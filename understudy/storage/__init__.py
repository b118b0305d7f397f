"""Durable storage: one writer with group commit over SQLite or PostgreSQL, many readers, uploaded files, the cache.

SQL for the server's database stands in this room only. It knows records and blobs, and no actor, command or event of
a chat by its meaning.
"""

from .database import Database as Database
from .errors import AlreadyOpen as AlreadyOpen
from .errors import AlreadyServed as AlreadyServed
from .errors import AlreadyStored as AlreadyStored
from .errors import CannotConnect as CannotConnect
from .errors import CannotOpen as CannotOpen
from .errors import ChangeRefused as ChangeRefused
from .errors import Damaged as Damaged
from .errors import DatabaseUnusable as DatabaseUnusable
from .errors import Fenced as Fenced
from .errors import FileTooLarge as FileTooLarge
from .errors import ForeignTables as ForeignTables
from .errors import InvalidCursor as InvalidCursor
from .errors import NotADatabase as NotADatabase
from .errors import NotStored as NotStored
from .errors import RunEnded as RunEnded
from .errors import SchemaInUse as SchemaInUse
from .errors import SchemaTooNew as SchemaTooNew
from .errors import SequenceConflict as SequenceConflict
from .errors import StorageError as StorageError
from .errors import StorageUnavailable as StorageUnavailable
from .errors import Unstorable as Unstorable
from .files import FileStore as FileStore
from .files import FolderFiles as FolderFiles
from .files import display_name as display_name
from .records import Change as Change
from .records import Fence as Fence
from .records import File as File
from .records import History as History
from .records import LoggedEvent as LoggedEvent
from .records import Message as Message
from .records import Page as Page
from .records import RunEnd as RunEnd
from .records import RunRecord as RunRecord
from .records import StepRecord as StepRecord
from .records import Thread as Thread
from .sqlite import SqliteDatabase as SqliteDatabase
from .sqlite import inspect_database as inspect_database
from .sqlite import open_database as open_database
from .store import Store as Store
from .writer import StoreWriter as StoreWriter
