"""The first `.env`: a copy of `.env.example` with a secret key of its own.

`make run` calls it. A file that has a key is not touched; one that has none, such as a plain copy
of `.env.example`, gets one, and its other lines stay as they are.
"""

import os
import re
import secrets
import sys
import tempfile
from pathlib import Path

_KEY_LINE = re.compile(r"^((?:export )?SECRET_KEY=)(.*?)(\r?)$", re.MULTILINE)


def write_env_file(folder: Path) -> str:
    """Give `.env` a secret key if it has none; return what was done, "" for nothing.

    Raises:
        OSError: the file cannot be read or written.
        UnicodeDecodeError: it is not UTF-8.
    """
    path = folder / ".env"
    if path.exists():
        # Editors of Windows begin a file with a byte order mark, which would hide the first line.
        text = path.read_bytes().decode("utf-8-sig")
        filled = with_secret_key(text)
        if filled == text:
            return ""
        _write(path, filled, replace=True)
        return "put a new secret key into .env"
    example = (folder / ".env.example").read_text(encoding="utf-8")
    try:
        _write(path, with_secret_key(example), replace=False)
    except FileExistsError:  # `make run` was started twice
        return ""
    return "wrote .env with a new secret key"


def with_secret_key(text: str) -> str:
    """Return the text of an `.env` with a new secret key, or the same text if it has a key."""
    lines = list(_KEY_LINE.finditer(text))
    key = secrets.token_urlsafe(50)
    if not lines:
        end = "\r\n" if "\r\n" in text else "\n"
        gap = end if text and not text.endswith("\n") else ""
        return f"{text}{gap}SECRET_KEY={key}{end}"
    last = lines[-1]  # the one that counts
    if last[2].strip(" \t'\""):
        return text
    return f"{text[: last.start()]}{last[1]}{key}{last[3]}{text[last.end() :]}"


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Write a file for this user only, whole or not at all."""
    path = path.resolve()
    descriptor, name = tempfile.mkstemp(prefix=".env.", dir=path.parent)  # mode 600
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        if replace:
            os.replace(name, path)
        else:
            os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def main() -> None:
    try:
        done = write_env_file(Path.cwd())
    except OSError as error:
        sys.exit(f"cannot write .env: {(error.strerror or str(error)).lower()}")
    except UnicodeDecodeError:
        sys.exit("cannot read .env: save it as UTF-8")
    if done:
        print(done)


if __name__ == "__main__":
    main()
