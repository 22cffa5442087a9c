# SPDX-License-Identifier: BSD-2-Clause
"""Runs cases in TAP: one claim each, in a directory of its own.

A case is a function whose name is the claim.  `PROGRAM BINARY` runs all of a file,
`PROGRAM BINARY --case NAME...` some.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import traceback

PATIENCE = 1200     # seconds; only what is broken needs them, on whatever machine
binary = None
cases = []


def case(fn):
    cases.append((fn.__name__, fn))
    return fn


def run(*args, **kw):
    """The binary with these words; keeps what it prints."""
    kw.setdefault('timeout', PATIENCE)
    kw.setdefault('stdin', subprocess.DEVNULL)
    return subprocess.run([binary, *args], stdout=kw.pop('stdout', subprocess.PIPE),
                          stderr=subprocess.PIPE, **kw)


def write(path, data):
    with open(path, 'wb') as out:
        out.write(data if isinstance(data, bytes) else data.encode())


def equal(got, want, what=''):
    assert got == want, f'{what}: got {got!r}, want {want!r}'


def has(text, part):
    if isinstance(text, bytes):
        text = text.decode(errors='replace')
    assert part in text, f'{part!r} is not in {text!r}'


def main(wanted=None):
    global binary
    binary = os.path.abspath(sys.argv[1])
    if sys.argv[2:3] == ['--case']:
        wanted = sys.argv[3:]
    chosen = [c for c in cases if wanted is None or c[0] in wanted]
    print(f'1..{len(chosen)}')
    failed = 0
    for n, (name, fn) in enumerate(chosen, 1):
        here = tempfile.mkdtemp(prefix='uvmstress-test.')
        os.chdir(here)
        try:
            fn()
            print(f'ok {n} - {name}')
        except Exception:
            failed += 1
            print(f'not ok {n} - {name}')
            traceback.print_exc()       # where meson shows it
        finally:
            os.chdir('/')
            shutil.rmtree(here, ignore_errors=True)     # who was killed just now may still be writing
        sys.stdout.flush()
    sys.exit(1 if failed else 0)
