# SPDX-License-Identifier: BSD-2-Clause
"""A daemon over the test double of the engine: runs cost milliseconds and end as they are told."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'harness'))
import harness  # noqa: E402
from harness import PATIENCE, equal, run, write  # noqa: E402


def job(name, ending):
    write(f'{name}.ini', f'[a]\nworkload = anon-fault\nending = {ending}\n')


def config(text='', http='127.0.0.1:0', profiles='x.ini'):
    """What is written in text wins over these lines."""
    lines = {'state': 'st', 'http': http, 'profiles': profiles, 'run-time': '60ms', 'free-space': '0',
             'client-timeout': '1h', 'backoff': '10ms'}
    for line in text.splitlines():
        key, _, value = line.partition('=')
        lines[key.strip()] = value.strip()
    write('d.ini', '[daemon]\n' + ''.join(f'{k} = {v}\n' for k, v in lines.items()))


def wait_for(what, said):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError(f'waited in vain for {said}')


class Daemon:
    def __init__(self, *args, **kw):
        """Started and answering; stopped, or killed, at the end of a with."""
        self.log = open('log', 'ab')
        self.p = subprocess.Popen([harness.binary, 'daemon', '--config', 'd.ini', *args], stdin=subprocess.DEVNULL,
                                  stdout=self.log, stderr=self.log, **kw)
        wait_for(self.answers, 'the daemon to answer: ' + self.said())

    def answers(self):
        assert self.p.poll() is None, self.said()
        try:
            return self.raw(b'uvmstress/1 status\n')[0].startswith('uvmstress/1 ok')
        except OSError:
            return False

    def said(self):
        with open('log', errors='replace') as f:
            return f.read()

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(PATIENCE)
        s.connect('st/ctl')
        return s

    def raw(self, data):
        """One request, one answer: (first line, value or None)."""
        with self.connect() as s:
            s.sendall(data)
            return answer(s.makefile('rb'))

    def ask(self, words):
        line, value = self.raw(f'uvmstress/1 {words}\n'.encode())
        assert line.startswith('uvmstress/1 ok'), line
        return value

    @property
    def status(self):
        return self.ask('status')

    def worker_pids(self):
        return [w['pid'] for w in self.status['workers'] if 'pid' in w]

    def finished(self):
        return self.status['runs'].get('clean', 0)

    def kill(self):
        self.p.kill()
        self.p.wait()

    def stop(self):
        self.p.terminate()
        status = self.p.wait(PATIENCE)
        self.log.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        self.log.close()


def answer(f):
    line = f.readline().decode()
    if not line.startswith('uvmstress/1 ok '):
        return line, None
    return line, json.loads(f.read(int(line.split()[2])))


def children():
    """Processes that were started for what is in this directory, by command line."""
    found = []
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            with open(f'/proc/{name}/cmdline', 'rb') as f:
                words = f.read().split(b'\0')
            with open(f'/proc/{name}/stat') as f:
                state = f.read().rpartition(')')[2].split()[0]
        except OSError:
            continue
        if state != 'Z' and os.getcwd().encode() in b' '.join(words) and int(name) != os.getpid():
            found.append(int(name))
    return found


def rows(sql):
    db = sqlite3.connect('st/results.db', timeout=PATIENCE)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def all_is_well(running=0):
    """Of a state whose daemon has ended: nothing lost, nothing double, nothing left over."""
    equal(rows('PRAGMA integrity_check'), [('ok',)])
    equal(rows('PRAGMA foreign_key_check'), [])
    equal(rows("SELECT count(*) FROM run WHERE state = 'running'"), [(running,)])
    equal(os.listdir('st/work'), [])
    wait_for(lambda: not children(), 'the last ones to go')
    kept = {d for (d,) in rows('SELECT dir FROM occurrence WHERE dir IS NOT NULL')}
    there = {f'{a}/{b}' for a in os.listdir('st/failures') for b in os.listdir(f'st/failures/{a}')}
    equal(there, kept)
