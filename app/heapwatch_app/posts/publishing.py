"""Making and deleting posts, likes and comments. Each function commits.

Counters change in the statement's own arithmetic, in the transaction that adds or removes the row, so
two workers that like one post at once lose nothing.
"""

from __future__ import annotations

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from heapwatch_app.accounts.models import User
from heapwatch_app.database import changed_rows, insert_once
from heapwatch_app.events import BUS, Event
from heapwatch_app.posts.models import Comment, Like, Post

CAPTION_LENGTH = 2200
COMMENT_LENGTH = 1000


class PostError(ValueError):
    """A post or comment that can't be made so; the message is for the person who asked."""


def publish(
    db: Session, author: User, *, ticket: str, photo: str, size: tuple[int, int], caption: str
) -> int | None:
    """The id of a new post with the stored photo `photo` of `size`; None if `ticket` was used before."""
    made = insert_once(
        db,
        Post,
        author_id=author.id,
        ticket=ticket,
        photo=photo,
        width=size[0],
        height=size[1],
        caption=caption,
    )
    if made:
        db.execute(update(User).where(User.id == author.id).values(post_count=User.post_count + 1))
    db.commit()
    return by_ticket(db, author.id, ticket) if made else None


def by_ticket(db: Session, author_id: int, ticket: str) -> int | None:
    """The id of the post that the form with `ticket` has made."""
    return db.scalar(select(Post.id).where(Post.author_id == author_id, Post.ticket == ticket))


def checked_caption(text: str) -> str:
    """`text` without surrounding space; PostError if it is too long."""
    caption = text.strip()
    if len(caption) > CAPTION_LENGTH:
        raise PostError(f"The caption is longer than {CAPTION_LENGTH} characters.")
    return caption


def remove(db: Session, post: Post) -> None:
    """Delete `post` with its likes and comments."""
    BUS.publish("post.deleted", Event(actor=post.author_id, concerns=post.author_id, post=post.id))
    db.execute(delete(Post).where(Post.id == post.id))
    db.execute(update(User).where(User.id == post.author_id).values(post_count=User.post_count - 1))
    db.commit()


def like(db: Session, user: User, post: Post) -> None:
    """Like `post`; once more changes nothing."""
    if insert_once(db, Like, post_id=post.id, user_id=user.id):
        db.execute(update(Post).where(Post.id == post.id).values(like_count=Post.like_count + 1))
        BUS.publish("post.liked", Event(user.id, post.author_id, post.id))
    db.commit()


def unlike(db: Session, user: User, post: Post) -> None:
    """Take a like back; without one nothing changes."""
    row = delete(Like).where(Like.post_id == post.id, Like.user_id == user.id)
    if changed_rows(db, row):
        db.execute(update(Post).where(Post.id == post.id).values(like_count=Post.like_count - 1))
    db.commit()


def comment(db: Session, user: User, post: Post, text: str) -> None:
    """Write `text` under `post`; PostError if it is empty or too long."""
    text = text.strip()
    if not text:
        raise PostError("Write something first.")
    if len(text) > COMMENT_LENGTH:
        raise PostError(f"The comment is longer than {COMMENT_LENGTH} characters.")
    db.add(Comment(post_id=post.id, author_id=user.id, text=text))
    db.execute(update(Post).where(Post.id == post.id).values(comment_count=Post.comment_count + 1))
    BUS.publish("post.commented", Event(user.id, post.author_id, post.id))
    db.commit()


def remove_comment(db: Session, found: Comment) -> None:
    """Delete a comment."""
    if changed_rows(db, delete(Comment).where(Comment.id == found.id)):
        db.execute(update(Post).where(Post.id == found.post_id).values(comment_count=Post.comment_count - 1))
    db.commit()
