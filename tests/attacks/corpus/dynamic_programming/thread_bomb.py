"""Tries: start 400 threads that wait.

Deserves: full
Base: solution
Control: works
"""

import threading

release, started = threading.Event(), 0
for _ in range(400):
    try:
        threading.Thread(target=release.wait, args=(10,), daemon=True).start()
        started += 1
    except RuntimeError:
        break
release.set()
if started > 100:
    raise SystemExit("the attack worked")
