"""Where a sample came in the order of its round; of the samples that are there, that is not known (-1).

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("samples", sa.Column("place", sa.Integer(), nullable=False, server_default="-1"))
