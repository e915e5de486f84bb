"""Tries: read what is not its business: accounts, keys, logs, other people's folders.

Deserves: full
Base: solution
Control: works
"""

import os

found = []
for path in ("/etc/passwd", "/etc/shadow", "/etc/hosts", "/var/log/dpkg.log", "/proc/1/cmdline"):
    try:
        with open(path, "rb") as file:
            found.append(file.read(1))
    except OSError:
        pass
for folder in ("/", "/root", "/home", "/tmp", "/etc", "/var"):
    try:
        found += os.listdir(folder)
    except OSError:
        pass
if found:
    raise SystemExit("the attack worked")
