# SPDX-License-Identifier: BSD-2-Clause
"""Controlled schedules of the real engine: one seed is one run, in every process; recordings
lead through it again; many executions are added up."""

import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

import harness
from harness import PATIENCE, case, equal, has, main, run, write

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
def one_seed_is_one_run_where_a_loan_flushes_everything():
    """A flush of everything has no first address: none is what lay on the stack.  The run looks itself."""
    path = os.path.join(PROFILES, 'museum/loan-file.ini')
    for seed in '1', '2', '3':
        hash_of(path, '--ops', '20', '--seed', seed, '--schedule', 'pct:2')


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
            r = run('run', path, '--schedule', strategy, '--ops', '3', '--seed', '11', '--quiet')
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


def clean():
    """A clean run, recorded."""
    small()
    r = run('run', 'x.ini', '--schedule', 'pct:2', '--record', 'rec', '--json', 'rec.json')
    assert r.returncode in (0, 4), r
    return json.load(open('rec.json'))


@case
def a_clean_run_is_kept_when_asked():
    was = clean()
    equal(sorted(os.listdir('.')), ['rec', 'rec.json', 'x.ini'])    # and in no other place
    r = run('replay', 'rec')
    assert r.returncode in (0, 4), r
    has(r.stdout, f'event hash {was["event_hash"]}, as recorded')
    clean()                                                         # in the same place, again
    for words in ('--schedule', 'free'), ('--schedule', 'pos', '--iterations', '2'):
        r = run('run', 'x.ini', '--record', 'no', *words)
        equal(r.returncode, 2, r)
        has(r.stderr, '--record no: only one execution with a controlled schedule')
    equal(run('audit', 'x.ini', 'x.ini', '--schedule', 'pos', '--record', 'no').returncode, 2)
    assert not os.path.exists('no')
    r = run('audit', 'x.ini', '--schedule', 'pos', '--record', 'audited')
    assert r.returncode in (0, 4), r
    has(run('replay', 'audited', '--times', '2').stdout, '2 of 2 replays')


@case
def many_replays_are_counted():
    was = clean()
    hang()
    for path in 'rec', 'out/0001':
        r = run('replay', path, '--times', '5')
        equal((r.returncode, r.stderr), (0, b''), r)
        has(r.stdout, '5 of 5 replays gave event hash ')
    has(run('replay', 'rec', '--times', '1').stdout, was['event_hash'])
    for words in ('0',), ('x',), ('2', '--json', '-'), ('2', '--stop-at', '1'), ('2', '--gdb'):
        equal(run('replay', 'rec', '--times', *words).returncode, 2, words)


@case
def a_replay_that_parts_is_counted():
    hang()
    was = open('out/0001/schedule', 'rb').read()
    at = was.index(b'\n\n') + 2 + (len(was) - was.index(b'\n\n')) // 3
    write('out/0001/schedule', was[:at] + bytes([was[at] ^ 1]) + was[at + 1:])
    r = run('replay', 'out/0001', '--times', '2')
    equal(r.returncode, 1, r)
    has(r.stdout, '0 of 2 replays gave ')
    has(r.stderr, 'the replay left its recording: at point ')


def events_of(path):
    return int(re.search(rb'\nevents (\d+)\n', open(f'{path}/schedule', 'rb').read())[1])


@case
def a_replay_stops_at_an_event():
    """The first, the last, and some between: boot, load, teardown; always the same."""
    clean()
    last = events_of('rec') - 1
    for event in 0, last // 3, last // 2, last:
        two = [run('replay', 'rec', '--stop-at', str(event)) for _ in range(2)]
        equal([r.returncode for r in two], [0, 0], two)
        where = [re.search(rb'stopped at event (\d+): (.*)\n', r.stdout) for r in two]
        equal([int(w[1]) for w in where], [event, event])
        equal(where[0][2], where[1][2])
        has(two[0].stdout, '    #0 ')
    has(run('replay', 'rec', '--stop-at', str(last // 2)).stdout, '\nLWP 1 idle/0: ')
    r = run('replay', 'rec', '--stop-at', str(last + 1))
    equal(r.returncode, 2, r)
    has(r.stderr, f'has the events 0 to {last}')
    equal(run('replay', 'rec', '--stop-at', '-1').returncode, 2)


@case
def a_report_names_the_event():
    was = hang()
    event = was['violations'][0]['event']
    has(open('out/0001/report.txt').read(), f'at event {event}: uvmstress replay --stop-at {event} out/0001')
    r = run('replay', '--stop-at', str(event), 'out/0001')
    equal(r.returncode, 0, r)
    has(r.stdout, f'stopped at event {event}: watchdog ')


def gdb_works():
    try:
        return subprocess.run(['gdb', '-batch', '-ex', 'run', '--args', 'true'], timeout=PATIENCE, stderr=subprocess.STDOUT,
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout.find(b'exited normally') > 0
    except FileNotFoundError:
        return False


@case
def gdb_is_there_when_it_stops():
    hang()
    os.mkdir('empty')
    r = run('replay', 'out/0001', '--gdb', env=dict(os.environ, PATH=os.path.abspath('empty')))
    equal(r.returncode, 3, r)
    has(r.stderr, '--gdb: cannot run gdb: ')
    if not gdb_works():
        return
    write('words', 'bt\ninfo threads\nkill\nquit\n')
    event = events_of('out/0001') - 1
    r = run('replay', 'out/0001', '--gdb', stdin=open('words'))
    has(r.stderr + r.stdout, f'at event {event}: watchdog ')
    has(r.stdout, 'SIGTRAP')
    has(r.stdout, '"f.0"')
    has(r.stdout, ' pool_main ')                # and a stack that goes down to where the thread began


def begun(directory):
    """A controlled run with no end, killed when its job is on the disk."""
    child = subprocess.Popen([harness.binary, 'run', 'x.ini', '--schedule', 'pos', '--seed', '4711', '--ops', '0',
                              '--time', '0', '--out', directory, '--quiet'], stderr=subprocess.DEVNULL)
    while not glob.glob(f'{directory}/.*.run'):
        equal(child.poll(), None)
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()


@case
def what_was_killed_is_not_lost():
    small()
    for _ in range(2):
        begun('out')
        r = run('run', 'x.ini', '--schedule', 'pos', '--ops', '3', '--out', 'out', '--quiet')
        has(r.stderr, 'a run was killed before its end; out/killed-000')
        has(r.stderr, 'run x.ini --schedule pos --seed 4711 --ops 0 --time 0\n')
    equal(sorted(os.listdir('out')), ['killed-0001', 'killed-0002'])
    has(open('out/killed-0001/profile.ini').read(), 'seed = 4711\n')
    r = run('run', 'out/killed-0001/profile.ini', '--ops', '3', '--time', '1s', '--out', 'out', '--quiet')
    assert r.returncode in (0, 4), r
    equal(b'killed' in r.stderr, False, r.stderr)


@case
def a_run_that_ends_leaves_nothing():
    small()
    for words in (), ('--iterations', '3'):
        r = run('run', 'x.ini', '--schedule', 'pos', '--ops', '3', '--quiet', *words)
        assert r.returncode in (0, 4), r
        equal(os.listdir('.'), ['x.ini'], words)
    hang()
    equal(os.listdir('out'), ['0001'])


@case
def the_status_counts_executions():
    small()
    r = run('run', 'x.ini', '--schedule', 'pos', '--iterations', '40', '--status-json', 's', '--status-interval',
            '1ms', '--json', 'r.json')
    assert r.returncode in (0, 4), r
    lines, result = [json.loads(line) for line in open('s')], json.load(open('r.json'))
    each = sum(j['operations'] for j in result['jobs']) // 40
    equal((lines[-1]['event'], lines[-1]['iterations'], lines[-1]['operations']), ('end', 40, 40 * each))
    assert len(lines) > 1, lines
    for line in lines[:-1]:     # operations first, then the execution that they were
        assert line['iterations'] * each <= line['operations'] <= 40 * each, line
    r = run('audit', 'x.ini', '--schedule', 'pos', '--iterations', '2')
    equal(r.returncode, 2, r)
    has(r.stderr, '--iterations 2: one execution at a time is audited')


@case
def no_more_invariants_ran_than_there_are():
    small()
    r = run('run', 'x.ini', '--schedule', 'pos', '--iterations', '4')
    ran, of = map(int, re.search(rb'checks +(\d+) of (\d+) invariants', r.stdout).groups())
    assert 0 < ran <= of, r.stdout


@case
def executions_are_added_up_whoever_makes_them():
    small()
    words = ('x.ini', '--schedule', 'pct:2', '--iterations', '8', '--set', 'global.schedule-steps=2000')
    first = hash_of(*words)
    equal(hash_of(*words), first)
    r = run('run', *words, '--json', 'r.json')
    equal(r.returncode, 0, r)
    assert json.load(open('r.json'))['cpu_s'] > 0       # of the workers
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
