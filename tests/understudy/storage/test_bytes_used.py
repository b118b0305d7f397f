"""The bytes of a user and of a tenant are counted at each write and deletion."""

from understudy.extensions.files.storage import add_file
from understudy.extensions.files.stores import file_bytes_used
from understudy.storage.owners import owner_of
from understudy.storage.quotas import thread_bytes_used
from understudy.storage.records import File


async def test_a_thread_counts_what_is_stored_and_removed(store, make) -> None:
    first = make.opening()
    await store.commit(first)
    size = len(first.events[0].body) + len(first.messages[0].content.encode())
    assert await store.read(thread_bytes_used, "user", "ann") == size
    await store.commit(first)
    assert await store.read(thread_bytes_used, "user", "ann") == size
    more = make.change(events=make.events(2, 40), run_end=make.ending())
    await store.commit(more)
    size += sum(len(event.body) for event in more.events)
    assert await store.read(thread_bytes_used, "user", "ann") == size
    await store.trim("ann", "t1", 11)
    kept = size - sum(len(event.body) for event in [*first.events, *more.events][:10])
    assert await store.read(thread_bytes_used, "user", "ann") == kept
    assert await store.read(thread_bytes_used, "user", "bob") == 0
    await store.delete_thread("ann", "t1")
    assert await store.read(thread_bytes_used, "user", "ann") == 0


async def test_a_tenant_counts_the_files_and_threads_of_all_its_users(store, make) -> None:
    ann, bob, eve = owner_of("ann", "acme"), owner_of("bob", "acme"), owner_of("eve", "other")
    for number, owner in enumerate((ann, bob, eve)):
        await store.commit(add_file(File(owner, f"{number}" * 32, "a.bin", "text/plain", 1000 + number, "0" * 64, 1.0)))
        await store.commit(make.opening(owner, run_id=f"r{number}"))
    assert await store.read(file_bytes_used, "tenant", "acme") == 2001
    assert await store.read(file_bytes_used, "user", eve) == 1002
    of_both = [await store.read(thread_bytes_used, "user", owner) for owner in (ann, bob)]
    assert await store.read(thread_bytes_used, "tenant", "acme") == sum(of_both) > 0
