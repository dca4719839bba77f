"""The tables of posts, likes and comments."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from heapwatch_app.accounts.models import User
from heapwatch_app.database import Base, now


class Post(Base):
    """A photo with a caption. `photo` names it in the media store; width and height are of its largest size.

    `ticket` comes from the form: the same form sent twice makes one post.
    """

    __tablename__ = "posts"
    __table_args__ = (UniqueConstraint("author_id", "ticket"), Index("posts_by_author", "author_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    ticket: Mapped[str] = mapped_column(String(40))
    photo: Mapped[str] = mapped_column(String(40))
    width: Mapped[int]
    height: Mapped[int]
    caption: Mapped[str] = mapped_column(String(2200), default="")
    created: Mapped[datetime] = mapped_column(default=now)
    like_count: Mapped[int] = mapped_column(default=0)
    comment_count: Mapped[int] = mapped_column(default=0)

    # Raising instead of loading: a page that forgets to join its authors fails in tests, not slowly.
    author: Mapped[User] = relationship(lazy="raise")


class Like(Base):
    """One user's like of one post; the key makes it unique."""

    __tablename__ = "likes"

    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    created: Mapped[datetime] = mapped_column(default=now)


class Comment(Base):
    """What somebody wrote under a post."""

    __tablename__ = "comments"
    __table_args__ = (Index("comments_by_post", "post_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    post_id: Mapped[int] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"))
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    text: Mapped[str] = mapped_column(String(1000))
    created: Mapped[datetime] = mapped_column(default=now)

    author: Mapped[User] = relationship(lazy="raise")
