# SPDX-License-Identifier: BSD-2-Clause
"""A build with -Dvalgrind=true says enough of its locks and atomics for helgrind to be silent:
t_valgrind.py PROGRAM SUPPRESSIONS"""

import os
import shutil
import subprocess
import sys

if '--skip' in sys.argv or shutil.which('valgrind') is None:
    print('1..0 # SKIP needs valgrind, and a build with -Dvalgrind=true')
    sys.exit(0)

import harness
from harness import case, main, write

SUPPRESSIONS = os.path.abspath(sys.argv.pop(2))

JOBS = '''[global]
cpus = 2
memory = 12M
swap = 16M
seed = 1
hang-limit = 0
overcommit = on
[anon]
workload = anon-fault
threads = 2
size = 1M
[cow]
workload = cow-fork
threads = 2
size = 256K
[files]
workload = file-map
threads = 2
[chaos]
workload = chaos
threads = 2
'''


@case
def helgrind_is_silent():
    """The auditor judges the order of locks, and knows of trylocks what helgrind does not."""
    write('x.ini', JOBS)
    r = subprocess.run(['valgrind', '--tool=helgrind', '--track-lockorders=no', '-q', '--error-exitcode=9',
                        '--suppressions=' + SUPPRESSIONS, harness.binary, 'run', 'x.ini', '--audit', 'off',
                        '--ops', '60', '--quiet'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, errors='replace')
    assert r.returncode in (0, 4), r.stdout[-6000:]


main()
