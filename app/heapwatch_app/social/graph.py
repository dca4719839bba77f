"""Following, finding people, and news. Functions that change something commit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session, joinedload

from heapwatch_app.accounts.models import User
from heapwatch_app.database import changed_rows, insert_once, session
from heapwatch_app.events import BUS, Event
from heapwatch_app.social.models import Follow, News

FOUND = 20
SUGGESTED = 5
NEWS_SHOWN = 40


def follow(db: Session, follower: User, followed: User) -> None:
    """Follow; oneself or once more changes nothing."""
    if follower.id != followed.id and insert_once(
        db, Follow, follower_id=follower.id, followed_id=followed.id
    ):
        _count(db, follower.id, followed.id, +1)
        BUS.publish("user.followed", Event(follower.id, followed.id))
    db.commit()


def unfollow(db: Session, follower: User, followed: User) -> None:
    """Stop following."""
    row = delete(Follow).where(Follow.follower_id == follower.id, Follow.followed_id == followed.id)
    if changed_rows(db, row):
        _count(db, follower.id, followed.id, -1)
    db.commit()


def _count(db: Session, follower_id: int, followed_id: int, change: int) -> None:
    db.execute(
        update(User).where(User.id == follower_id).values(following_count=User.following_count + change)
    )
    db.execute(update(User).where(User.id == followed_id).values(follower_count=User.follower_count + change))


def follows(db: Session, follower_id: int, followed_id: int) -> bool:
    """Whether one follows the other."""
    return db.get(Follow, (follower_id, followed_id)) is not None


def search(db: Session, words: str) -> Sequence[User]:
    """People whose user name begins with `words` or whose name contains them, the most followed first."""
    words = words.strip().lower()[:30]
    if not words:
        return []
    match = User.username.startswith(words, autoescape=True) | User.name.icontains(words, autoescape=True)
    return db.scalars(
        select(User).where(match).order_by(User.follower_count.desc(), User.id).limit(FOUND)
    ).all()


def suggestions(db: Session, user_id: int) -> Sequence[User]:
    """People with posts whom the user doesn't follow yet, the most followed first."""
    followed = select(Follow.followed_id).where(Follow.follower_id == user_id)
    query = select(User).where(User.id != user_id, User.post_count > 0, User.id.not_in(followed))
    return db.scalars(query.order_by(User.follower_count.desc(), User.id).limit(SUGGESTED)).all()


def news(db: Session, user_id: int) -> Sequence[News]:
    """The latest news of a user, with who did it."""
    query = select(News).options(joinedload(News.actor)).where(News.user_id == user_id)
    return db.scalars(query.order_by(News.id.desc()).limit(NEWS_SHOWN)).all()


def _note(kind: str, happened: Event) -> None:
    if happened.actor != happened.concerns:
        row = News(user_id=happened.concerns, actor_id=happened.actor, kind=kind, post_id=happened.post)
        session().add(row)


@cache
def listen() -> None:
    """Turn events into news, in the transaction in which they happen; once per process."""
    BUS.subscribe("post.liked", partial(_note, "liked"))
    BUS.subscribe("post.commented", partial(_note, "commented"))
    BUS.subscribe("user.followed", partial(_note, "followed"))
