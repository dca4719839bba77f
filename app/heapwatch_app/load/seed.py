"""A site with people, follows, posts, likes and comments to start from."""

from __future__ import annotations

import io
import random
from datetime import timedelta

from sqlalchemy import ScalarSelect, func, insert, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from heapwatch_app.accounts.models import User
from heapwatch_app.accounts.people import hashed
from heapwatch_app.database import Database, now
from heapwatch_app.load.pictures import jpeg
from heapwatch_app.media.images import Photo, process
from heapwatch_app.media.store import MediaStore
from heapwatch_app.posts.models import Comment, Like, Post
from heapwatch_app.settings import AppSettings
from heapwatch_app.social.models import Follow

PASSWORD = "open-the-shutter"  # noqa: S105
PICTURES = 24
FOLLOWED = 12

_FIRST = ("ada", "ben", "cleo", "dara", "emil", "fay", "hana", "ivo", "june", "kai", "lena", "milo", "nora")
_LAST = ("amber", "birch", "cove", "dune", "fern", "grove", "heath", "isle", "knoll", "lake", "moss", "pine")
_SHAPES = ((1080, 1080), (1080, 810), (864, 1080))
_CAPTIONS = (
    "First light over the ridge.", "Worth the early start.", "No filter needed.", "The long way home.",
    "Quiet up here today.", "Same place, other weather.", "Wind, then nothing.", "One more before dark.",
)  # fmt: skip
_REMARKS = ("Lovely light!", "Where is this?", "Wow.", "I want to go there.", "Great colours.", "So calm.")


def seed(settings: AppSettings, users: int, posts: int) -> None:
    """Add `users` with the password PASSWORD and `posts` of theirs, with follows, likes and comments."""
    database = Database(settings.database_url)
    database.create_tables()
    dice = random.Random(0)
    with database.sessions() as db:
        ids = _add_users(db, users, hashed(PASSWORD, settings.app_password_cost))
        _add_follows(db, dice, ids)
        made = _add_posts(db, dice, ids, posts, MediaStore(settings.media_folder))
        _add_reactions(db, dice, ids, made)
        _count(db)
        db.commit()
    database.engine.dispose()


def _add_users(db: Session, count: int, password_hash: str) -> list[int]:
    start = db.scalar(select(func.coalesce(func.max(User.id), 0))) or 0
    rows = [
        {
            "username": f"{_FIRST[n % len(_FIRST)]}.{_LAST[n % len(_LAST)]}{n}",
            "name": f"{_FIRST[n % len(_FIRST)]} {_LAST[n % len(_LAST)]}".title(),
            "bio": "Mostly hills, mostly evenings.",
            "password_hash": password_hash,
        }
        for n in range(start + 1, start + count + 1)
    ]
    return list(db.scalars(insert(User).returning(User.id), rows))


def _add_follows(db: Session, dice: random.Random, ids: list[int]) -> None:
    rows = [
        {"follower_id": follower, "followed_id": followed}
        for follower in ids
        for followed in dice.sample(ids, min(FOLLOWED, len(ids)))
        if followed != follower
    ]
    if rows:
        db.execute(insert(Follow), rows)


def _add_posts(db: Session, dice: random.Random, ids: list[int], count: int, store: MediaStore) -> list[int]:
    stored = [_store(store, n) for n in range(min(PICTURES, count))]
    rows = []
    for n in range(count):
        name, photo = dice.choice(stored)
        rows.append(
            {
                "author_id": dice.choice(ids),
                "ticket": f"seed-{n}",
                "photo": store.link(name),
                "width": photo.width,
                "height": photo.height,
                "caption": dice.choice(_CAPTIONS),
                "created": now() - timedelta(minutes=11 * (count - n)),
            }
        )
    for name, _ in stored:
        store.remove(name)
    return list(db.scalars(insert(Post).returning(Post.id), rows)) if rows else []


def _store(store: MediaStore, number: int) -> tuple[str, Photo]:
    data = jpeg(number, _SHAPES[number % len(_SHAPES)])
    photo = process(io.BytesIO(data), max_bytes=len(data), max_pixels=10**8)
    return store.add(photo), photo


def _add_reactions(db: Session, dice: random.Random, ids: list[int], posts: list[int]) -> None:
    likes, comments = [], []
    for post in posts:
        fans = dice.sample(ids, dice.randrange(min(len(ids), 25)))
        likes += [{"post_id": post, "user_id": fan} for fan in fans]
        comments += [
            {"post_id": post, "author_id": fan, "text": dice.choice(_REMARKS)}
            for fan in fans[: dice.randrange(4)]
        ]
    if likes:
        db.execute(insert(Like), likes)
    if comments:
        db.execute(insert(Comment), comments)


def _count(db: Session) -> None:
    """Set every counter from what it counts."""

    def rows(column: InstrumentedAttribute[int], key: InstrumentedAttribute[int]) -> ScalarSelect[int]:
        return select(func.count()).where(column == key).scalar_subquery()

    db.execute(
        update(User).values(
            post_count=rows(Post.author_id, User.id),
            follower_count=rows(Follow.followed_id, User.id),
            following_count=rows(Follow.follower_id, User.id),
        )
    )
    db.execute(
        update(Post).values(
            like_count=rows(Like.post_id, Post.id), comment_count=rows(Comment.post_id, Post.id)
        )
    )
