# SPDX-License-Identifier: BSD-2-Clause
"""Inside a mount name space where st/ is a small file system: fill it under a running daemon."""

import os
import sys

from daemonlib import Daemon, all_is_well, equal, harness, rows, wait_for

harness.binary = sys.argv[1]
os.remove('st/there')
with Daemon() as d:
    wait_for(lambda: d.finished() >= 2, 'some runs')
    ballast = os.open('st/ballast', os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(ballast, b'x' * 1024)
    except OSError:
        os.close(ballast)
    before = d.status['next_run']
    wait_for(lambda: 'cannot begin a run' in d.said() or 'waits to be stored' in d.said() or 'exit status 3' in d.said() or
             'cannot be started' in d.said(), 'the disk to be noticed: ' + d.said())
    finished = sum(n for what, n in d.status['runs'].items() if what in ('clean', 'violation'))
    os.remove('st/ballast')
    wait_for(lambda: d.finished() > finished, 'runs to go on: ' + d.said())
    wait_for(lambda: d.status['results_waiting'] == 0, 'all to be stored')
    equal(d.ask('check')['sound'], True)
    equal(d.stop(), 0)
numbers = [n for n, in rows('SELECT number FROM run')]
equal(len(numbers), len(set(numbers)))
all_is_well()
