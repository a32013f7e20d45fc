"""The run of Temporal that an execution's record follows.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; empty where it is not known."""
    op.add_column("executions", sa.Column("run", sa.String(64), nullable=False, server_default=""))
