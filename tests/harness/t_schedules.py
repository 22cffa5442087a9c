# SPDX-License-Identifier: BSD-2-Clause
"""Controlled schedules of the real engine: one seed is one run, in every process; recordings
lead through it again; many executions are added up."""

import glob
import json
import os
import sys

from harness import case, equal, has, main, run, write

PROFILES = sys.argv.pop(2)
SMALL = '''[global]
cpus = 2
memory = 4M
swap = 4M
seed = 7
ops = 30
[anon]
workload = anon-fault
threads = 2
processes = 2
size = 128K
[cow]
workload = cow-fork
threads = 2
size = 64K
[files]
workload = file-map
threads = 2
'''


def small(name='x.ini'):
    write(name, SMALL)


def hash_of(*words, **kw):
    r = run('run', *words, '--quiet', '--json', '-', **kw)
    assert r.returncode in (0, 4), r
    return json.loads(r.stdout)['event_hash']


def again(strategy):
    """In other processes: other environment, other directory, other address space."""
    small()
    path, first = os.path.abspath('x.ini'), hash_of('x.ini', '--schedule', strategy)
    for i in range(5):
        os.mkdir(f'{i}')
        env = dict(os.environ, PADDING='x' * (i * 1700 + i))
        equal(hash_of(path, '--schedule', strategy, cwd=f'{i}', env=env), first, f'process {i}')


@case
def one_seed_is_one_run_by_random_walk():
    again('random')


@case
def one_seed_is_one_run_by_pos():
    again('pos')


@case
def one_seed_is_one_run_by_pct():
    again('pct:2')


@case
def seeds_and_strategies_are_different_runs():
    small()
    hashes = [hash_of('x.ini', '--schedule', s, '--seed', str(n)) for s in ('random', 'pos', 'pct')
              for n in (1, 2)]
    equal(len(set(hashes)), 6, hashes)


@case
def shipped_profiles_repeat_themselves():
    """The run itself executes twice and compares."""
    for path in sorted(glob.glob(f'{PROFILES}/*.ini')):
        if os.path.basename(path) in ('first-light.ini', 'soak.ini'):    # sizes that take a minute
            continue
        for strategy in 'random', 'pos', 'pct':
            r = run('run', path, '--schedule', strategy, '--ops', '3', '--seed', '11', '--quiet', timeout=120)
            assert r.returncode in (0, 4), (path, strategy, r)


@case
def time_is_virtual():
    """A run by time ends at the same operation."""
    small()
    words = ('x.ini', '--schedule', 'pos', '--ops', '0', '--time', '20ms')
    equal(hash_of(*words), hash_of(*words))


def hang():
    """A machine whose disk takes longer than the watchdog waits."""
    write('hang.ini', '[global]\ncpus = 2\nmemory = 6M\nseed = 3\ndisk-latency = 1s\nhang-limit = 100ms\n'
          'ops = 5\nschedule = mix\n[f]\nworkload = file-map\nthreads = 2\n')
    r = run('run', 'hang.ini', '--out', 'out', '--json', 'hang.json')
    equal(r.returncode, 1, r)
    has(r.stdout, 'VIOLATION hang')
    return json.load(open('hang.json'))


@case
def a_recording_leads_through_the_same_events():
    was = hang()
    for i in range(3):
        r = run('replay', 'out/0001', '--json', 'again.json')
        equal(r.returncode, 1, r)
        has(r.stdout, f'event hash {was["event_hash"]}, as recorded')
        now = json.load(open('again.json'))
        equal([v['message'] for v in now['violations']], [v['message'] for v in was['violations']])
    equal(os.listdir('out'), ['0001'])


@case
def a_recording_of_another_build_is_refused():
    hang()
    was = open('out/0001/schedule', 'rb').read()
    at = was.index(b'\nbuild ') + 7
    write('out/0001/schedule', was[:at] + b'0' + was[at + 1:] if was[at:at + 1] != b'0'
          else was[:at] + b'1' + was[at + 1:])
    r = run('replay', 'out/0001')
    equal(r.returncode, 2, r)
    has(r.stderr, 'recorded by another build')


@case
def where_a_run_leaves_its_recording_is_said():
    hang()
    was = open('out/0001/schedule', 'rb').read()
    at = was.index(b'\n\n') + 2 + (len(was) - was.index(b'\n\n')) // 3
    write('out/0001/schedule', was[:at] + bytes([was[at] ^ 1]) + was[at + 1:])
    r = run('replay', 'out/0001')
    equal(r.returncode, 1, r)
    has(r.stderr, 'the replay left its recording: at point ')


@case
def a_broken_recording_is_refused():
    hang()
    was = open('out/0001/schedule', 'rb').read()
    for broken in b'', b'\n', was[:40], was[:-1], was + b'x', was.replace(b'log ', b'log 99', 1):
        write('out/0001/schedule', broken)
        r = run('replay', 'out/0001')
        equal(r.returncode, 2, r)
    equal(run('replay', 'nowhere').returncode, 2)
    equal(run('replay').returncode, 2)


@case
def executions_are_added_up_whoever_makes_them():
    small()
    words = ('x.ini', '--schedule', 'pct:2', '--iterations', '8', '--set', 'global.schedule-steps=2000')
    first = hash_of(*words)
    equal(hash_of(*words), first)
    r = run('run', *words)
    equal(r.returncode, 0, r)
    has(r.stdout, 'd=2: after 8 schedules the chance of having missed a given depth-2 bug is at most ')


@case
def iterations_stop_at_the_first_violation():
    hang()
    r = run('run', 'hang.ini', '--out', 'many', '--iterations', '4', '--json', 'many.json')
    equal(r.returncode, 1, r)
    result = json.load(open('many.json'))
    equal((result['outcome'], len(result['violations'])), ('violation', 1))
    assert os.path.isfile(f'{result["violations"][0]["dir"]}/schedule'), result['violations']
    r = run('run', 'hang.ini', '--out', 'all', '--iterations', '4', '--keep-going', '--json', 'all.json')
    equal(r.returncode, 1, r)
    equal(len(json.load(open('all.json'))['violations']), 4)


@case
def chaos_is_for_free_runs():
    small()
    r = run('run', 'x.ini', '--chaos', 'p=1,ns=1us,budget=1ms,kinds=lock')
    assert r.returncode in (0, 4), r
    has(r.stdout, 'chaos: ')
    for spec, why in (('p=2', 'a fraction'), ('kinds=locks', 'kinds= are some of'), ('p', 'KEY=VALUE'),
                      ('x=1', "there is no 'x'")):
        r = run('run', 'x.ini', '--chaos', spec)
        equal(r.returncode, 2, r)
        has(r.stderr, why)
    equal(run('run', 'x.ini', '--chaos', 'p=1', '--schedule', 'pos').returncode, 2)


main()
