"""The tables of who follows whom, and of news for a user."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from heapwatch_app.accounts.models import User
from heapwatch_app.database import Base, now


class Follow(Base):
    """`follower_id` follows `followed_id`; the key makes it unique."""

    __tablename__ = "follows"
    __table_args__ = (Index("follows_by_followed", "followed_id", "follower_id"),)

    follower_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    followed_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    created: Mapped[datetime] = mapped_column(default=now)


class News(Base):
    """Something that `actor` did which `user_id` wants to know; `kind` is liked, commented or followed."""

    __tablename__ = "news"
    __table_args__ = (Index("news_by_user", "user_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    actor_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(12))
    post_id: Mapped[int | None] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"))
    created: Mapped[datetime] = mapped_column(default=now)

    actor: Mapped[User] = relationship(lazy="raise", foreign_keys=[actor_id])
