"""`python -I -m pycompose.supervisor`: the name that keepers and command lines start, of other versions, too."""

import gc
import sys

# Imports make no garbage; `main` turns it on again.
gc.disable()
# asyncio would load OpenSSL for connections that this process never makes (10 ms, 3 MB).
sys.modules["ssl"] = None  # type: ignore[assignment]

from pycompose.supervisor.reaper import have_orphans_reaped  # noqa: E402 - after the two lines above

# One that the keeper starts (`--project`) has that ancestor; the keeper waits for the process that it has started.
if sys.argv[1] != "--project":
    have_orphans_reaped()  # forks, before there is much to copy

from pycompose.supervisor.main import main  # noqa: E402 - as above

sys.exit(main())
