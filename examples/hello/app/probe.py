"""Health check: ends with 0 when the address answers with a success."""

import sys
from urllib.request import urlopen

urlopen(sys.argv[1], timeout=2).close()
