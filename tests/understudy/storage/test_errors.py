"""The errors: one root, sentences, and a way through pickle."""

import copy
import inspect
import pickle
from pathlib import Path

import pytest

from understudy.storage import errors

SAMPLES = [
    errors.StorageUnavailable("the disk is full"),
    errors.WakeupsUnavailable("cut"),
    errors.RedisUnavailable("no answer within 1 s"),
    errors.CannotOpen(Path("data"), "Permission denied"),
    errors.BadName(),
    errors.CannotConnect("db.example/chat", "connection refused"),
    errors.ForeignTables("db.example/chat", "users"),
    errors.AlreadyOpen(Path("data"), 4711),
    errors.Damaged(Path("data/understudy.db"), "database disk image is malformed"),
    errors.NotADatabase(Path("data/understudy.db"), "file is not a database"),
    errors.SchemaTooNew(Path("data/understudy.db"), "0009", "0001"),
    errors.SchemaInUse("db.example/chat", 2, "0008", "0010"),
    errors.Unstorable("surrogates not allowed"),
    errors.Fenced("t1", "5f2c"),
    errors.SequenceConflict("t1", 4, 9),
    errors.AlreadyStored("message", "m1"),
    errors.RunEnded("r1", "success"),
    errors.NotStored("thread", "t1"),
    errors.InvalidCursor("x"),
    errors.FileTooLarge(20),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_each_error_is_a_sentence_and_survives_pickling(error) -> None:
    assert isinstance(error, errors.StorageError)
    assert " " in str(error)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(twin), str(twin), twin.args) == (type(error), str(error), error.args)


def test_every_error_is_sampled() -> None:
    """A new error gets its row above; only the three that are never raised themselves have none."""
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.StorageError)}
    bases = {errors.StorageError, errors.DatabaseUnusable, errors.ChangeRefused}
    assert {type(error) for error in SAMPLES} == kinds - bases
