"""No deadlines for property tests: on a busy machine they measure the neighbours."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("networking", deadline=None)
settings.load_profile("networking")
