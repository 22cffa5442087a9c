# SPDX-License-Identifier: BSD-2-Clause
"""The daemon under blows, for as long as wanted; not part of the test suite.

    soak.py PROGRAM MINUTES JOBFILE...

With the real program: a worker is killed every few seconds, the supervisor five times, the disk is filled
once (st/ is a small file system of its own if that may be mounted, else this is left out), rubbish arrives at both
doors.  Afterwards every result that was ever complete is in the database once, nothing is left over, and the
supervisor's memory has not grown.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

from daemonlib import Daemon, all_is_well, config, equal, harness, rows, wait_for


def rss(pid):
    with open(f'/proc/{pid}/status') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmRSS'))


def throw_rubbish(d, dice):
    with d.connect() as s:
        try:
            s.sendall(dice.randbytes(600))
            s.recv(100)
        except OSError:
            pass
    with socket.create_connection(('127.0.0.1', d.status['http_port']), 10) as s:
        s.sendall(dice.randbytes(300))


def fill_disk(d):
    fd = os.open('st/ballast', os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(fd, b'x' * 65536)
    except OSError:
        os.close(fd)
    time.sleep(10)
    os.remove('st/ballast')


def blows(minutes, has_mount):
    dice = random.Random(time.time())
    begin, deaths, samples, done = time.monotonic(), 0, [], set()
    kills = [(n + 1) / 6 * minutes * 60 for n in range(5)]
    full_at = minutes * 30 if has_mount else None
    d = Daemon()
    while time.monotonic() - begin < minutes * 60:
        time.sleep(dice.uniform(1, 4))
        now = time.monotonic() - begin
        if kills and now > kills[0]:
            kills.pop(0)
            samples.append((int(now), rss(d.p.pid)))
            d.kill()
            done |= {i for i in os.listdir('st/work') if os.path.exists(f'st/work/{i}/result.json')}
            d.log.close()
            d = Daemon()
            continue
        if full_at is not None and now > full_at:
            full_at = None
            fill_disk(d)
        for pid in d.worker_pids()[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
                deaths += 1
            except ProcessLookupError:
                pass
        throw_rubbish(d, dice)
        samples.append((int(now), rss(d.p.pid)))
    wait_for(lambda: d.status['results_waiting'] == 0, 'all to be stored')
    equal(d.ask('check')['sound'], True)
    equal(d.stop(), 0)
    for i in done:
        equal(rows(f'SELECT state FROM run WHERE id = {i}'), [('finished',)])
    numbers = [n for n, in rows('SELECT number FROM run')]
    equal(len(numbers), len(set(numbers)))
    all_is_well()
    print(f'{minutes} minutes: {deaths} workers and 5 supervisors killed' + (', disk filled once' if has_mount else ''))
    print('runs:', dict(rows('SELECT coalesce(outcome, state), count(*) FROM run GROUP BY 1')))
    print('failures:', rows('SELECT kind, rule, count FROM failure'))
    print('supervisor, kB:', samples[:: max(1, len(samples) // 20)])


def main():
    harness.binary = os.path.abspath(sys.argv[1])
    minutes = float(sys.argv[2])
    jobs = [os.path.abspath(j) for j in sys.argv[3:]]
    if os.environ.get('SOAK_INNER') is None:
        os.chdir(tempfile.mkdtemp(prefix='uvmstress-soak.'))
        os.mkdir('st')
    script = 'mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@"'
    if os.environ.get('SOAK_INNER') is None and subprocess.run(
            ['unshare', '-m', 'sh', '-c', script, os.path.abspath('st'), 'true'], stderr=subprocess.DEVNULL).returncode == 0:
        os.environ['SOAK_INNER'] = os.getcwd()
        os.execvp('unshare', ['unshare', '-m', 'sh', '-c', script, os.path.abspath('st'), sys.executable,
                              INVOKED, harness.binary, str(minutes), *jobs])
    if os.environ.get('SOAK_INNER'):
        os.chdir(os.environ['SOAK_INNER'])
    config('workers = 2\nrun-time = 4s\nfree-space = 2M\nbackoff = 500ms', profiles=' '.join(jobs))
    blows(minutes, bool(os.environ.get('SOAK_INNER')))


INVOKED = os.path.abspath(__file__)
main()
