"""SHA-256 (and SHA-1) of a few bytes, without OpenSSL: `hashlib` loads it, 4 ms of every command that makes a name.

For long data use `hashlib`, which is several times as fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha1, sha256
else:
    try:
        from _sha1 import sha1
    except ImportError:
        from hashlib import sha1
    try:
        from _sha2 import sha256  # since Python 3.12
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:  # an interpreter built for OpenSSL's only
            from hashlib import sha256

__all__ = ["sha1", "sha256"]
