# SPDX-License-Identifier: BSD-2-Clause
"""How much of its throughput a run loses while rubbish comes in at both doors; not part of the test suite.

    disturb.py PROGRAM [ROUNDS]

One worker with one simulated CPU, so that the second core of a small machine is left for the supervisor and for
those who throw.  Of every round, half is quiet; in the other half 200 malformed control messages and requests, slow
clients and 500 connections come each second or as fast as they are taken.  Prints the medians of the worker's faults
for each second, by the clock and by its own time on the host's cores.  For a machine that does nothing else.
"""

import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from daemonlib import Daemon, config, harness, wait_for, write

HALF = 4        # seconds


def throw(http_port, until):
    dice, crowd = random.Random(5), []
    while time.monotonic() < until:
        begin = time.monotonic()
        for _ in range(100):
            for family, at in (socket.AF_UNIX, 'st/ctl'), (socket.AF_INET, ('127.0.0.1', http_port)):
                with socket.socket(family) as s:
                    s.settimeout(0.05)
                    try:
                        s.connect(at)
                        s.sendall(dice.randbytes(dice.randrange(1, 800)) + b'\n')
                        s.recv(200)
                    except OSError:
                        pass
        for s in crowd:
            s.close()
        crowd = []
        for n in range(500):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(('127.0.0.1', http_port))
            crowd.append(s)
            if n % 5 == 0:
                try:
                    s.send(b'GET / HT')
                except OSError:
                    pass
        time.sleep(max(0, begin + 1 - time.monotonic()))


def progress(d):
    worker = next(iter(d.status['workers']), {})
    return worker, worker.get('progress') or {'elapsed_s': 0, 'faults': 0}


def sample(d):
    """=> the next the worker tells of itself: (run, seconds, faults, seconds of the host's cores)"""
    before = progress(d)[1]['elapsed_s']
    worker, p = wait_for(lambda: (progress(d) if progress(d)[1]['elapsed_s'] != before else None), 'progress')
    with open(f'/proc/{worker["pid"]}/stat') as f:
        fields = f.read().rpartition(')')[2].split()
    return worker['pid'], p['elapsed_s'], p['faults'], (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def window(d, hostile):
    """=> faults for each second of the clock, and of the worker's own time"""
    thrower = subprocess.Popen([sys.executable, INVOKED, '--throw', str(d.status['http_port']),
                                str(time.monotonic() + HALF + 3)]) if hostile else None
    time.sleep(0.5)
    a = sample(d)
    time.sleep(HALF)
    b = sample(d)
    if thrower is not None:
        thrower.wait()
        time.sleep(1)
    assert a[0] == b[0], 'another run'
    return (b[2] - a[2]) / (b[1] - a[1]), (b[2] - a[2]) / (b[3] - a[3])


def main():
    if sys.argv[1] == '--throw':
        throw(int(sys.argv[2]), float(sys.argv[3]))
        return
    harness.binary = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if sys.argv[2:] else 8
    os.chdir(tempfile.mkdtemp(prefix='uvmstress-disturb.'))
    write('x.ini', '[global]\ncpus = 1\nmemory = 16M\n[a]\nworkload = anon-fault\nsize = 4M\nthreads = 1\n')
    config(f'workers = 1\nrun-time = {int(rounds * (2 * HALF + 12)) + 30}s')
    quiet, hostile = [], []
    with Daemon() as d:
        wait_for(lambda: progress(d)[1]['faults'] > 0, 'a run')
        for n in range(rounds):
            for noisy in (n % 2 == 0, n % 2 != 0):
                (hostile if noisy else quiet).append(window(d, noisy))
        d.stop()
    for which, what in enumerate(('of the clock', 'of its own time')):
        a, b = (statistics.median(w[which] for w in ws) for ws in (quiet, hostile))
        print(f'faults for each second {what}: {a:.0f} quiet, {b:.0f} under blows: {b / a:.3f}')


INVOKED = os.path.abspath(__file__)
main()
