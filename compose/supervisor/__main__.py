"""`python -I -m pycompose.supervisor`: the name that keepers and command lines start, of other versions, too."""

import gc
import sys

# Imports make no garbage; `main` turns it on again.
gc.disable()
# asyncio would load OpenSSL for connections that this process never makes (10 ms, 3 MB).
sys.modules["ssl"] = None  # type: ignore[assignment]

from pycompose.supervisor.main import main  # noqa: E402 - after the two lines above

sys.exit(main())
