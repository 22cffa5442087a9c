# SPDX-License-Identifier: BSD-2-Clause
"""The table of invariants, the document about them, the code that reports them and what a
run looks at are one story."""

import json
import os
import re
import signal
import subprocess
import time

import harness
from harness import case, equal, has, main, run, write

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
ROW = re.compile(r'\| (I-[A-Z]+-\d+|R\d+) \| (.*?) \| (.*?) \| ?(.*?) ?\|$')

# How the document says it; what is counted or told by the watchdog it says in many ways.
WORDS = {'asserted': 'asserted', 'online': 'online', 'at rest': 'at rest', 'content': 'workload|sums',
         'by construction': 'by construction', 'cannot be checked': 'not built', 'through': 'I-',
         'watched': 'watchdog|counted|audit'}

JOB = '''[global]
cpus = 2
seed = 1
memory = 8M
swap = 16M
ops = 300
check-interval = 0
check-depth = 8
[a]
workload = anon-fault
threads = 2
processes = 2
size = 1M
'''


def table():
    return json.loads(run('list', 'checks', '--json').stdout)['checks']


def document():
    with open(os.path.join(ROOT, 'docs', 'invariants.md')) as f:
        return [m.groups() for m in map(ROW.match, f) if m]


def sources(*folders):
    for folder in folders:
        for path, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                if name.endswith(('.c', '.h', '.py', '.sh', '.def')):
                    with open(os.path.join(path, name)) as f:
                        yield name, f.read()


@case
def table_and_document_have_the_same_rows():
    assert len(table()) > 160
    equal([c['name'] for c in table()], [row[0] for row in document()])
    for c, row in zip(table(), document()):
        equal(c['help'], row[1].replace('`', ''), row[0])


@case
def the_document_says_how_each_is_held():
    for c, row in zip(table(), document()):
        assert c['how'] and c['source'], c
        for how in c['how']:
            assert re.search(WORDS[how], row[2] + row[1]), (c['name'], how, row[2])
        if {'cannot be checked', 'through'} & set(c['how']):
            assert c['note'], c


@case
def tests_that_the_document_names_exist():
    words = set()
    for _, body in sources('tests', 'src/check'):
        words.update(re.findall(r'\w+', body))
    missing = [(row[0], name) for row in document() for name in re.findall(r'`(\w+)`', row[3])
               if name not in words]
    equal(missing, [])


@case
def nothing_is_reported_that_has_no_row():
    known = {c['name'] for c in table()}
    for name, body in sources('src', 'locks', 'workloads'):
        for rule in re.findall(r'"(I-[A-Z]+-\d+)"', body):
            assert rule in known, (name, rule)


@case
def what_is_held_at_rest_is_looked_at():
    write('x.ini', JOB)
    r = run('run', 'x.ini', '--json', '-', '--quiet', '--set', 'global.check-depth=0')
    equal(r.returncode, 0, r.stderr)
    ran = {c['id'] for c in json.loads(r.stdout)['checks'] if c['runs'] > 0}
    want = {c['name'] for c in table() if 'at rest' in c['how']}
    equal((ran - want, want - ran), ({'leak-at-exit'}, set()))


@case
def what_is_held_online_is_sampled():
    # one CPU: time is virtual, so that it is sampled as often on any machine
    job = JOB.replace('ops = 300', 'ops = 20000').replace('cpus = 2', 'cpus = 1') + '[b]\nworkload = aobj-shm\nprocesses = 2\n'
    write('x.ini', job)
    r = run('run', 'x.ini', '--json', '-', '--quiet')
    equal(r.returncode, 0, r.stderr)
    runs = {c['id']: c['runs'] for c in json.loads(r.stdout)['checks']}
    r = run('run', 'x.ini', '--json', '-', '--quiet', '--set', 'global.check-depth=0')
    for c in json.loads(r.stdout)['checks']:
        runs[c['id']] -= c['runs']              # those of the end
    equal(sorted(i for i in runs if runs[i] > 0), sorted(c['name'] for c in table() if 'online' in c['how']))


def operations():
    """What the run has done by now, as the last whole line of its status says."""
    with open('s.json', encoding='utf-8') as f:
        lines = f.read().split('\n')[:-1]
    return json.loads(lines[-1])['operations'] if lines else 0


@case
def a_signal_asks_for_a_check():
    """One CPU: time is virtual, and is up for the check after so many operations on any machine."""
    with open(harness.binary, 'rb') as f:
        if b'__tsan_init' in f.read():      # it keeps a signal back until its thread calls the host
            return
    write('x.ini', JOB.replace('ops = 300', 'time = 0').replace('cpus = 2', 'cpus = 1'))
    write('s.json', '')
    with subprocess.Popen([harness.binary, 'run', 'x.ini', '--quiet', '--json', 'r.json', '--status-json', 's.json',
                           '--status-interval', '10ms'], stdin=subprocess.DEVNULL) as p:
        while operations() == 0:
            equal(p.poll(), None)
            time.sleep(0.01)
        p.send_signal(signal.SIGUSR1)
        asked = operations()
        while operations() < asked + 1000000:
            equal(p.poll(), None)
            time.sleep(0.01)
        p.send_signal(signal.SIGTERM)
    equal(p.returncode, 0)
    with open('r.json') as f:
        runs = {c['id']: c['runs'] for c in json.load(f)['checks']}
    equal(runs['I-PG-4'], 2)            # the other one is that of the end


@case
def the_list_is_for_people_too():
    out = run('list', 'checks').stdout
    has(out, 'I-PG-2')
    has(out, '(uvm-spec 5.6')
    has(out, 'cannot be checked: ')


main()
