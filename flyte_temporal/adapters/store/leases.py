"""Leases on keys that are being computed, and who waits for them: reliability.md §4.5, docs/decisions/0039.

Called by `catalog` within its transactions. Times are those of the database; a token grows with every owner of a key.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, case, delete, select, update

from flyte_temporal.adapters.store.schema import cache_leases as table
from flyte_temporal.adapters.store.schema import cache_waiters as waiters
from flyte_temporal.adapters.store.statements import insert_into, now_s
from flyte_temporal.spec.cache import FORGIVEN_S, FREE_AFTER, LEASE_KEPT_S, Lease, LeaseOwner, Reservation


class Leases:
    """Statements on leases.

    Args:
        dialect: `sqlite` or `postgresql`.
    """

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._now = now_s(dialect)

    def reserve(self, connection: Connection, key: str, owner: LeaseOwner, lease_s: float) -> Reservation:
        """Give the lease on a key, or say who has it."""
        now = self._now
        insert = insert_into(self._dialect, table).values(
            key=key,
            execution=owner.execution,
            node=owner.node,
            token=1,
            expires_at=now + lease_s,
            failures=0,
        )
        mine = and_(table.c.execution == owner.execution, table.c.node == owner.node)
        taken = insert.on_conflict_do_update(
            index_elements=[table.c.key],
            set_={
                "execution": insert.excluded.execution,
                "node": insert.excluded.node,
                "token": table.c.token + 1,
                "expires_at": insert.excluded.expires_at,
                "failures": case((table.c.expires_at < now - FORGIVEN_S, 0), else_=table.c.failures),
            },
            where=(table.c.expires_at <= now) | mine,
        ).returning(table.c.token)
        token = connection.execute(taken).scalar_one_or_none()
        if token is not None:
            return Reservation(token=token)
        return self._held(connection, key, owner)

    def _held(self, connection: Connection, key: str, owner: LeaseOwner) -> Reservation:
        columns = (table.c.execution, table.c.node, table.c.failures, (table.c.expires_at - self._now))
        execution, node, failures, left = connection.execute(select(*columns).where(table.c.key == key)).one()
        if failures >= FREE_AFTER:
            return Reservation()
        waits = insert_into(self._dialect, waiters).values(key=key, execution=owner.execution)
        connection.execute(waits.on_conflict_do_nothing())
        return Reservation(holder=LeaseOwner(execution=execution, node=node), again_s=max(left, 0.0))

    def extend(self, connection: Connection, lease: Lease, lease_s: float) -> bool:
        """Let a lease hold from now on; return whether it does: also one that has run out, if nobody has taken its key since."""
        return (
            connection.execute(
                update(table).where(_of(lease)).values(expires_at=self._now + lease_s)
            ).rowcount
            == 1
        )

    def finish(self, connection: Connection, lease: Lease) -> bool:
        """End a lease as a success; return whether it was still the one on its key."""
        wanted = update(table).where(_of(lease)).values(expires_at=self._now, failures=0)
        return connection.execute(wanted).rowcount == 1

    def release(self, connection: Connection, lease: Lease, *, failed: bool) -> None:
        """End a lease without a result, if it is still the one on its key."""
        values = {"expires_at": self._now, "failures": table.c.failures + (1 if failed else 0)}
        connection.execute(update(table).where(_of(lease)).values(values))

    def take_waiting(self, connection: Connection, keys: Sequence[str]) -> dict[str, list[str]]:
        """Return, by the name of their execution, the keys for which others wait, and forget that they do."""
        gone = delete(waiters).where(waiters.c.key.in_(keys)).returning(waiters.c.execution, waiters.c.key)
        found: dict[str, list[str]] = {}
        for execution, key in connection.execute(gone):
            found.setdefault(execution, []).append(key)
        return found

    def forget_old(self, connection: Connection, most: int) -> int:
        """Remove what is left of some leases that ended long ago; return of how many."""
        old = table.c.expires_at < self._now - LEASE_KEPT_S
        some = sorted(
            connection.scalars(select(table.c.key).where(old).order_by(table.c.expires_at).limit(most))
        )
        connection.execute(delete(waiters).where(waiters.c.key.in_(some)))
        # One that was taken anew in between stays.
        return connection.execute(delete(table).where(table.c.key.in_(some), old)).rowcount


def _of(lease: Lease) -> ColumnElement[bool]:
    return and_(
        table.c.key == lease.key,
        table.c.execution == lease.owner.execution,
        table.c.node == lease.owner.node,
        table.c.token == lease.token,
    )
