"""Values that a build has without being given them (Dockerfile reference, "Predefined ARGs")."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycompose.engine.images.spec import Platform

# Visible in RUN without a declaration; they leave no trace in history and cache.
PROXIES = (
    "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy",
    "ALL_PROXY", "all_proxy",
)  # fmt: skip
# Settings of BuildKit's own that a --build-arg may carry.
SETTINGS = ("SOURCE_DATE_EPOCH", "BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM",
            "BUILDKIT_SANDBOX_HOSTNAME", "BUILDKIT_SYNTAX", "BUILDKIT_DOCKERFILE_CHECK")  # fmt: skip


def platform_arguments(target: Platform, build: Platform, stage: str) -> dict[str, str]:
    """Return TARGETPLATFORM and its relatives; FROM sees them, a stage after `ARG NAME`. `stage`: the target's name."""
    values = {"TARGETSTAGE": stage or "default"}
    for prefix, platform in (("TARGET", target), ("BUILD", build)):
        values[f"{prefix}PLATFORM"] = str(platform)
        values[f"{prefix}OS"] = platform.os
        values[f"{prefix}OSVERSION"] = ""
        values[f"{prefix}ARCH"] = platform.architecture
        values[f"{prefix}VARIANT"] = platform.variant
    return values
