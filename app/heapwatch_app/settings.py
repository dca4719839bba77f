"""The settings of the reference service, and the folders and secret that follow from them."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from heapwatch_wire.config import count, in_bytes, setting

SECTION = "app"


@dataclass(frozen=True)
class AppSettings:
    """Section `[app]`: the reference service."""

    app_data: str = setting("heapwatch-app", "Folder of all that has no place of its own below.")
    app_database: str = setting(
        "",
        "Database URL, such as postgresql+psycopg://HOST/NAME, for which psycopg must be installed "
        "(default: SQLite in the data folder).",
    )
    app_media: str = setting("", "Folder of the uploaded photos (default: media in the data folder).")
    app_faults: str = setting(
        "", "File that says which faults are on (default: faults.json in the data folder)."
    )
    app_secret: str = setting("", "Key that signs sessions (default: made once, kept in the data folder).")
    app_admin_token: str = setting(
        "", "Bearer token for /admin/faults; empty allows requests from this machine only."
    )
    app_password_cost: int = setting(
        15, "Cost of hashing a password: 2 to this power is N of scrypt.", minimum=10, maximum=20
    )
    app_max_upload: int = in_bytes(10 << 20, "Largest photo accepted.", 64 << 10, 100 << 20)
    app_max_pixels: int = count(
        40_000_000, "Largest width times height of a photo accepted.", 10_000, 200_000_000
    )
    app_secure_cookies: bool = setting(False, "Send cookies over HTTPS only; switch on behind TLS.")

    @property
    def folder(self) -> Path:
        return Path(self.app_data).absolute()

    @property
    def database_url(self) -> str:
        return self.app_database or f"sqlite:///{self.folder / 'app.db'}"

    @property
    def media_folder(self) -> Path:
        return Path(self.app_media).absolute() if self.app_media else self.folder / "media"

    @property
    def faults_file(self) -> Path:
        return Path(self.app_faults).absolute() if self.app_faults else self.folder / "faults.json"

    def secret(self) -> str:
        """The signing key; all workers that share the data folder get the same one."""
        return self.app_secret or _kept_secret(self.folder / "secret")


def _kept_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_hex(32))
    try:
        # A link never replaces: the first of several starting workers decides for all.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text()
