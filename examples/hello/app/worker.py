"""Waters the garden every second."""

import json
import os
import signal
import sys
import threading
from urllib.request import Request, urlopen

API = os.environ["API"]
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
blooming = -1
while not stop.wait(1):
    with urlopen(Request(f"{API}/grow", method="POST"), timeout=5) as answer:
        flowers = json.load(answer)
    now = sum(flower["size"] == 10 for flower in flowers)
    if now != blooming:
        blooming = now
        print(f"{blooming} of {len(flowers)} flowers are in bloom")
