# SPDX-License-Identifier: BSD-2-Clause
"""The supervisor: its cycle, its database, its ends, and those of its workers."""

import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

from daemonlib import (PATIENCE, Daemon, all_is_well, children, config, equal, harness, job, rows, run, wait_for, write)
from harness import case, has, main


@case
def runs_cycle_through_profiles_and_then_seeds():
    job('x', 'clean')
    job('y', 'clean')
    config('seed = 7\nbackoff = 1h', profiles='x.ini y.ini')
    with Daemon() as d:
        wait_for(lambda: d.finished() >= 5, 'five runs')
        assert 'back-off' not in [d.status['workers'][0]['state'] for _ in range(20)]
        equal(d.stop(), 0)
    got = rows('SELECT profile, schedule, seed FROM run ORDER BY id LIMIT 4')
    equal([(os.path.basename(p), s, n) for p, s, n in got],
          [('x.ini', 'free', 7), ('y.ini', 'free', 7), ('x.ini', 'free', 8), ('y.ini', 'free', 8)])
    r = rows("SELECT outcome, operations, faults, bytes_verified FROM run WHERE id = 1")
    equal(r, [('clean', 100, 1000, 800)])
    equal(rows("SELECT value FROM figure WHERE run = 1 AND name = 'faults.cow'"), [(7,)])
    equal(rows('SELECT class, acquisitions FROM run_lock WHERE run = 1'), [('map', 3)])
    equal(rows('SELECT id, runs FROM run_check WHERE run = 1'), [('leak-at-exit', 1)])
    all_is_well()
    with Daemon() as d:            # where it left off, not from the beginning
        wait_for(lambda: d.finished() >= 8, 'more runs')
        d.stop()
    seeds = [(n, p) for n, p in rows("SELECT seed, profile FROM run")]
    equal(len(seeds), len(set(seeds)))


@case
def a_failure_is_one_row_however_often_it_is_seen():
    job('x', 'violation')
    config('keep-each = 2')
    with Daemon() as d:
        wait_for(lambda: d.status['runs'].get('violation', 0) >= 4, 'four violations')
        d.ask('pause')
        wait_for(lambda: not d.worker_pids(), 'the last one')       # or what is shown might be dropped for it
        failures = d.ask('failures')
        equal(len(failures), 1)
        equal((failures[0]['kind'], failures[0]['rule']), ('invariant', 'I-PG-2'))
        shown = d.ask(f'show {failures[0]["id"]}')
        has(shown['report'], 'page 7 is on two lists')
        has(shown['report'], 'uvmstress-double run ')
        assert '--json' not in shown['report'], shown['report']
        has(shown['stack'], 'uvm_pagefree')
        assert os.path.isfile(shown['directory'] + '/result.json')
        equal(d.ask('check')['sound'], True)
        d.stop()
    (count,), = rows('SELECT count FROM failure')
    assert count >= 4
    equal(len(os.listdir('st/failures')), 2)
    all_is_well()


@case
def failures_are_dropped_by_size():
    job('x', 'violation')
    config('keep-size = 1K\nkeep-each = 3')
    with Daemon() as d:
        wait_for(lambda: d.status['runs'].get('violation', 0) >= 3, 'three violations')
        d.stop()
    (count,), = rows('SELECT count(*) FROM occurrence')
    assert count >= 3
    with Daemon('--set', 'workers=1') as d:      # rotates as it begins
        d.ask('pause')
        d.stop()
    equal(rows('SELECT count(*) FROM failure'), [(1,)])
    equal(rows('SELECT count(*) FROM occurrence WHERE dir IS NOT NULL AND run <= 3'), [(0,)])
    all_is_well()


@case
def a_crash_of_the_machine_under_test_is_a_failure_and_is_retried():
    job('x', 'crash')
    config()
    with Daemon() as d:
        wait_for(lambda: d.status['worker_restarts'] >= 2, 'two crashes')
        f, = d.ask('failures')
        equal(f['kind'], 'crash')
        has(f['rule'], 'worker-SIGABRT:')
        d.ask('pause')
        wait_for(lambda: not d.worker_pids(), 'the last one')       # or it might be stopped before it began
        equal(d.stop(), 0)
    equal(rows("SELECT DISTINCT state, message FROM run"), [('crashed', 'died of SIGABRT')])
    all_is_well()


@case
def a_run_that_cannot_be_made_says_why():
    job('x', 'nomem')
    config('backoff = 1h')
    with Daemon() as d:
        wait_for(lambda: d.status['runs'].get('failed', 0) == 1, 'a failed run')
        w, = d.status['workers']
        equal(w['state'], 'back-off')
        has(d.ask('runs')[0]['message'], 'exit status 3: uvmstress: no room for 64M of simulated memory')
        equal(d.ask('failures'), [])
        d.stop()
    all_is_well()


@case
def workers_that_are_killed_are_replaced():
    job('x', 'wait')
    config('workers = 2\nrun-time = 1h')
    with Daemon() as d:
        for n in range(1, 5):
            os.kill(wait_for(d.worker_pids, 'a worker')[0], signal.SIGKILL)
            wait_for(lambda: d.status['worker_restarts'] >= n, 'the death to be noticed')
        wait_for(lambda: len(d.worker_pids()) == 2, 'both workers again')
        equal(d.ask('failures'), [])
        d.stop()
    equal({r for r, in rows("SELECT message FROM run WHERE state = 'crashed'")}, {'killed by SIGKILL'})
    # none at all, if both were told to end before they had begun
    assert set(rows("SELECT state, outcome FROM run WHERE state = 'finished'")) <= {('finished', 'interrupted')}
    all_is_well()


@case
def sigterm_ends_runs_early_and_keeps_their_results():
    job('x', 'wait')
    config('run-time = 1h')
    with Daemon() as d:
        wait_for(lambda: any('progress' in w for w in d.status['workers']), 'progress')
        equal(d.stop(), 0)
    equal(rows('SELECT state, outcome FROM run'), [('finished', 'interrupted')])
    assert not os.path.exists('st/ctl')
    all_is_well()


@case
def a_run_that_does_not_end_is_killed_and_told():
    job('x', 'stuck')
    config('grace = 200ms\nbackoff = 1h')
    with Daemon() as d:
        f, = wait_for(lambda: d.ask('failures'), 'the hang')
        equal(f['kind'], 'hang')
        d.stop()
    all_is_well()


@case
def the_supervisor_may_be_killed_at_any_moment():
    job('x', 'clean')
    job('y', 'violation')
    job('z', 'wait')
    config('workers = 3\nkeep-each = 10000\nseed = 1', profiles='x.ini y.ini z.ini')
    dice = random.Random(4)
    for _ in range(5):
        d = Daemon()
        before = len(d.ask('runs'))
        wait_for(lambda: d.status['next_run'] > before + 5 and d.status['runs'].get('violation'), 'some runs')
        time.sleep(dice.random() * 0.1)
        d.kill()
        d.log.close()
        # a result that is on disk is a finished run, whoever comes to store it
        done = [i for i in os.listdir('st/work') if os.path.exists(f'st/work/{i}/result.json')]
        write('done', '\n'.join(done))
        with Daemon('--set', 'workers=1') as d:
            for i in done:
                equal(rows(f'SELECT state FROM run WHERE id = {i}'), [('finished',)])
            d.stop()
        all_is_well()
    numbers = [n for n, in rows('SELECT number FROM run')]
    equal(len(numbers), len(set(numbers)))
    equal(rows('SELECT count(*) FROM failure'), [(1,)])
    seen, = rows('SELECT count FROM failure')
    equal([seen], rows("SELECT count(*) FROM run WHERE outcome = 'violation'"))


@case
def what_an_earlier_supervisor_left_is_stored_once():
    job('x', 'violation')
    config('workers = 1\nbackoff = 1h')
    with Daemon() as d:
        wait_for(lambda: d.status['runs'].get('violation', 0) >= 1, 'a violation')
        d.ask('pause')
        d.stop()
    run_id = rows('SELECT max(id) FROM run')[0][0] + 1
    os.makedirs(f'st/work/{run_id}')
    r = run('run', 'x.ini', '--seed', '5', '--json', f'st/work/{run_id}/result.json', '--out', f'st/work/{run_id}/out')
    equal(r.returncode, 1)
    late = sleeper()          # its worker, which the kernel has not come to yet
    other = sleeper()         # somebody who was given the number of a dead worker
    try:
        write(f'st/work/{run_id}/pid', f'{late.pid} {start_time(late.pid)}\n')
        shutil.copytree(f'st/work/{run_id}', 'again')
        stray = rows('SELECT min(id) FROM run')[0][0]
        os.makedirs(f'st/work/{stray}')
        write(f'st/work/{stray}/pid', f'{other.pid} {start_time(other.pid) - 1}\n')
        for _ in range(2):
            with Daemon('--set', 'http=off') as d:
                d.ask('pause')
                d.stop()
            equal(rows(f'SELECT state, outcome, seed FROM run WHERE id = {run_id}'), [('finished', 'violation', 5)])
            equal(rows(f'SELECT count(*) FROM occurrence WHERE run = {run_id}'), [(1,)])
            equal(rows('SELECT count FROM failure'), rows('SELECT count(*) FROM occurrence'))
            if os.path.exists('again'):                     # stored, but killed before its files were moved
                os.rename('again', f'st/work/{run_id}')
                shutil.rmtree(f'st/failures/{run_id}')
        assert os.path.exists(f'st/failures/{run_id}/0001/report.txt')
        equal(late.wait(PATIENCE), -signal.SIGKILL)
        equal(other.poll(), None)
        all_is_well()
    finally:
        for p in late, other:
            p.kill()
            p.wait()


def sleeper():
    return subprocess.Popen(['sleep', '1000'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start_time(pid):
    with open(f'/proc/{pid}/stat') as f:
        return int(f.read().rpartition(')')[2].split()[19])


@case
def a_result_that_cannot_be_stored_waits():
    job('x', 'wait')
    config('run-time = 1h')
    with Daemon() as d:
        wait_for(lambda: any('progress' in w for w in d.status['workers']), 'progress')
        w, = d.status['workers']
        run_id = w['run']
        db = sqlite3.connect('st/results.db', isolation_level=None, timeout=PATIENCE)
        db.execute('BEGIN IMMEDIATE')                   # nobody else can write now
        os.kill(w['pid'], signal.SIGTERM)
        wait_for(lambda: f'run {run_id} waits to be stored' in d.said(), 'the result to wait')
        assert os.path.exists(f'st/work/{run_id}/result.json')
        equal(d.status['results_waiting'], 1)
        db.execute('ROLLBACK')
        db.close()
        wait_for(lambda: d.status['results_waiting'] == 0, 'it to be stored')
        equal(rows(f'SELECT state, outcome FROM run WHERE id = {run_id}'), [('finished', 'interrupted')])
        equal(d.stop(), 0)
    all_is_well()


@case
def workers_die_with_their_supervisor():
    job('x', 'wait')
    config('run-time = 1h\nworkers = 2')
    d = Daemon()
    wait_for(lambda: sum('progress' in w for w in d.status['workers']) == 2, 'two workers that have said whose they are')
    for pid in d.worker_pids():
        os.kill(pid, signal.SIGSTOP)                    # they notice nothing themselves
    d.kill()
    d.log.close()
    wait_for(lambda: not children(), 'the orphans to go')


@case
def two_daemons_do_not_share_a_state():
    job('x', 'wait')
    config('run-time = 1h')
    with Daemon() as d:
        r = run('daemon', '--config', 'd.ini')
        equal(r.returncode, 3)
        has(r.stderr, f'st is in use by another daemon, process {d.p.pid}')


@case
def a_wrong_configuration_is_one_line_and_2():
    job('x', 'clean')
    for text, want in (
            ('state = st\nworker = 3\n', "d.ini:3: worker: not a key of [daemon]; did you mean 'workers'?"),
            ('workers = 0\n', 'd.ini:2: workers = 0: must be a whole number, 1 to 64'),
            ('http = here\n', 'http = here: must be off or a numeric address with a port'),
            ('profiles = gone.ini\n', 'gone.ini: cannot read the job file: No such file or directory'),
            ('profiles = x.ini\nschedules = wild\n', 'schedule = wild: must be free, mix'),
            ('[more]\n', 'd.ini:2: [more]: unknown section'),
            ('profiles = x.ini\nset = a.threads=0\n', 'threads')):
        write('d.ini', '[daemon]\n' + text)
        r = run('daemon', '--config', 'd.ini')
        equal(r.returncode, 2, text)
        has(r.stderr, want)
        equal(r.stderr.count(b'\n'), 1)
    write('d.ini', '[daemon]\nprofiles = x.ini\n')
    r = run('daemon', '--config', 'd.ini', '--check')
    equal((r.returncode, r.stdout), (0, os.path.realpath('x.ini').encode() + b'\n'))
    assert not os.path.exists('uvmstress-state')


@case
def sighup_reloads_and_a_wrong_file_changes_nothing():
    job('x', 'clean')
    job('y', 'clean')
    config()
    with Daemon() as d:
        config(profiles='gone.ini')
        d.p.send_signal(signal.SIGHUP)
        wait_for(lambda: 'the old configuration stays' in d.said(), 'the complaint')
        line, _ = d.raw(b'uvmstress/1 reload\n')
        has(line, 'uvmstress/1 error ')
        has(line, 'gone.ini: cannot read the job file')
        config('state = elsewhere')
        has(d.raw(b'uvmstress/1 reload\n')[0], 'state: cannot change while the daemon runs')
        before = d.finished()
        wait_for(lambda: d.finished() > before, 'the old one to go on')
        config('workers = 3', profiles='y.ini')
        d.p.send_signal(signal.SIGHUP)
        wait_for(lambda: len(d.status['workers']) == 3, 'three workers')
        wait_for(lambda: d.ask('runs')[0]['profile'].endswith('y.ini'), 'the new profile')
        config('workers = 1', profiles='y.ini')
        d.p.send_signal(signal.SIGHUP)
        wait_for(lambda: len(d.status['workers']) == 1, 'one worker')
        d.stop()
    all_is_well()


@case
def pause_begins_no_more_runs_until_resume():
    job('x', 'clean')
    config()
    with Daemon() as d:
        equal(d.ask('pause')['state'], 'paused')
        wait_for(lambda: not d.worker_pids(), 'the run to end')
        n = d.status['next_run']
        time.sleep(0.6)                 # more than two ticks; were it broken, there would be tens of runs
        equal(d.status['next_run'], n)
        equal(d.ask('resume')['state'], 'running')
        wait_for(lambda: d.status['next_run'] > n, 'a run')
        d.stop()
    all_is_well()


def hear(sock, said):
    while True:
        said.append(sock.recv(2000).decode())


@case
def systemd_is_told_when_it_is_ready_and_that_it_lives():
    job('x', 'clean')
    config()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind('notify')
    said = []
    env = {**os.environ, 'NOTIFY_SOCKET': os.path.abspath('notify'), 'WATCHDOG_USEC': '500000'}
    # all the time: what finds the socket full is not said again
    threading.Thread(target=hear, args=(sock, said), daemon=True).start()
    with Daemon(env=env) as d:
        wait_for(lambda: 'WATCHDOG=1' in said and any(s.startswith('STATUS=running, ') for s in said), 'signs of life')
        assert any(s.startswith('READY=1') for s in said), said
        equal(d.stop(), 0)
        wait_for(lambda: any(s.startswith('STOPPING=1') for s in said), 'the end')


@case
def a_full_disk_loses_no_finished_run():
    job('x', 'clean')
    job('y', 'violation')
    config('keep-each = 3', profiles='x.ini y.ini')
    mount = os.path.abspath('st')
    os.mkdir('st')
    script = (f'mount -t tmpfs -o size=700k tmpfs {mount} && touch {mount}/there && exec "$@"')
    probe = subprocess.run(['unshare', '-m', 'sh', '-c', script, 'sh', 'true'], stderr=subprocess.PIPE)
    if probe.returncode != 0:
        print('# no tmpfs can be mounted here: nothing was tried')
        return
    # everything inside the mount name space: the daemon, then what looks at its state
    inner = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'full_disk.py')
    r = subprocess.run(['unshare', '-m', 'sh', '-c', script, 'sh', sys.executable, inner, harness.binary],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
    equal(r.returncode, 0, r.stdout.decode(errors='replace'))


main()
