"""Reading posts for pages: always bounded, always with a fixed number of queries."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, joinedload

from heapwatch_app.posts.models import Comment, Like, Post

COMMENTS_SHOWN = 50


def find(db: Session, post_id: int) -> Post | None:
    """The post and its author."""
    return db.scalar(select(Post).options(joinedload(Post.author)).where(Post.id == post_id))


def newest(
    db: Session, limit: int, *, before: int | None = None, where: ColumnElement[bool] | None = None
) -> Sequence[Post]:
    """Posts with authors, the newest first, older than the post `before`, for which `where` holds."""
    query = select(Post).options(joinedload(Post.author)).order_by(Post.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Post.id < before)
    if where is not None:
        query = query.where(where)
    return db.scalars(query).all()


def liked_by(db: Session, user_id: int, posts: Sequence[Post]) -> set[int]:
    """Ids of those of `posts` that the user likes."""
    if not user_id or not posts:
        return set()
    query = select(Like.post_id).where(Like.user_id == user_id, Like.post_id.in_([p.id for p in posts]))
    return set(db.scalars(query))


def last_comments(db: Session, post_id: int) -> Sequence[Comment]:
    """The last comments with their authors, the oldest of them first."""
    query = (
        select(Comment)
        .options(joinedload(Comment.author))
        .where(Comment.post_id == post_id)
        .order_by(Comment.id.desc())
        .limit(COMMENTS_SHOWN)
    )
    return db.scalars(query).all()[::-1]
