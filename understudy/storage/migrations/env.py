"""Run by Alembic: applies the scripts of `versions` on the connection that `upgrade` hands in, in its transaction."""

from alembic import context

from understudy.storage.schema import whole

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=whole(),
    render_as_batch=True,  # SQLite alters tables by copying them
    transactional_ddl=True,  # and can roll such a change back
)
context.config.attributes["scripts"] = context.script
with context.begin_transaction():
    context.run_migrations()
