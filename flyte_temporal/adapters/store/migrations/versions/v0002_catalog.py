"""The catalog: remembered outputs, leases on what is being computed, and who waits for it.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the catalog."""
    op.create_table(
        "cache_entries",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("project", sa.String(63), nullable=False),
        sa.Column("domain", sa.String(63), nullable=False),
        sa.Column("task", sa.String(255), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("interface", sa.String(64), nullable=False),
        sa.Column("inputs", sa.String(64), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("stored", sa.Text()),
        sa.Column("outputs_digest", sa.String(64), nullable=False),
        sa.Column("execution", sa.String(128), nullable=False),
        sa.Column("node", sa.String(200), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempt_key", sa.Text(), nullable=False),
        sa.Column("objects", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_cache_entries"),
    )
    used = ["project", "domain", "last_used_at"]
    op.create_index("ix_cache_entries_project_domain_last_used_at", "cache_entries", used)
    op.create_index("ix_cache_entries_execution", "cache_entries", ["execution"])
    op.create_table(
        "cache_leases",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("execution", sa.String(128), nullable=False),
        sa.Column("node", sa.String(200), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_cache_leases"),
    )
    op.create_index("ix_cache_leases_expires_at", "cache_leases", ["expires_at"])
    op.create_table(
        "cache_waiters",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("execution", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("key", "execution", name="pk_cache_waiters"),
    )
