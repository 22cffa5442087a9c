# SPDX-License-Identifier: BSD-2-Clause
"""The museum of known bugs: its rows are sound, and a handful of bugs that show at once are noticed.

`t_museum.py UVMSTRESS MODE`: none: the build has no bugs in it; rows: it has, but detectors are
missing, or others come first; run: they are to be noticed."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import harness
from harness import case, equal, has, main, run

# One for each kind of detector: assertion, TLB, lock auditor, inspectors, hang, panic; and those
# whose detector was made for them.
HANDFUL = ('wired-stays-queued', 'loan-stale-tlb', 'enter-retry-holds-locks', 'merge-frees-spare',
           'enter-failure-ignored', 'loan-stays-writable', 'pool-put-returns-pages',
           'failed-enter-keeps-old', 'wire-without-copy', 'protect-wired-skips',
           'deactivate-keeps-referenced', 'ptp-no-reserve')
KINDS = ('lock-assertion', 'lock-order', 'interrupt-context', 'invariant', 'content', 'tlb', 'hang', 'leak',
         'panic', 'crash', 'race', 'asan')
WORD = re.compile(r'([a-z-]+)(/[\w-]+)?(@[\w-]+)?$')
mode = sys.argv.pop(2)


def rows():
    return json.loads(run('list', 'bugs', '--json').stdout)['bugs']


@case
def every_row_is_whole():
    seen = set()
    for row in rows():
        name = row['name']
        assert re.fullmatch(r'[a-z0-9]+(-[a-z0-9]+)*', name) and name not in seen, name
        seen.add(name)
        assert row['help'] and row['origin'], name
        if row['shows'] == 'impossible':
            assert row['note'], f'{name}: what proves it?'
            continue
        assert row['breaks'] and 1 <= row['depth'] <= 4, name
        for word in row['noticed_by'].split():
            m = WORD.match(word)
            assert m and m.group(1) in KINDS, f'{name}: {word}'
        assert row['shows'] != 'controlled' or row['note'], f'{name}: why?'


@case
def every_profile_is_there_and_good():
    here = os.path.join(os.path.dirname(harness.binary), '../../workloads/profiles/museum')
    for profile in {row[key] for row in rows() if row['profile'] for key in ('profile', 'profile_small')}:
        words = profile.split()
        sets = [x for w in words[1:] for x in ('--set', w)]
        r = run('check', os.path.join(here, words[0] + '.ini'), *sets)
        equal(r.returncode, 0, f'{profile}: {r.stderr}')


def one_core():
    """One worker for all executions: whichever fails first is always the same."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def strategies(*words):
    r = run('selftest', 'bugs', *words, '--json', 'm.json', preexec_fn=one_core)
    return r, json.load(open('m.json', encoding='utf-8')) if os.path.exists('m.json') else None


@case
def a_handful_is_noticed_as_the_rows_say():
    if mode != 'run':
        return
    r, table = strategies(','.join(HANDFUL), '--strategies', 'pct:2', '--limit', '10m', '--seeds', '1')
    equal(r.returncode, 0, r.stdout.decode() + r.stderr.decode())
    equal({c['bug']: c['found'] for c in table['cells']}, {name: True for name in HANDFUL}, table['cells'])


@case
def who_does_it_at_all_is_noticed_running_free():
    """Bugs that an assertion meets at once, whoever else runs when."""
    if mode != 'run':
        return
    for name in 'wired-stays-queued', 'loan-stays-writable':
        r = run('selftest', 'bugs', name, '--seeds', '1', '--limit', '1h', '--only-bugs', '--json', 'm.json')
        equal(r.returncode, 0, r.stdout.decode() + r.stderr.decode())
        with open('m.json', encoding='utf-8') as f:
            (bug,) = json.load(f)['bugs']
        equal((bug['bug'], bug['noticed'], bug['seeds']), (name, 1, 1))
        assert bug['noticed_by'][0]['named'] and bug['runs'] >= 1


@case
def a_schedule_finds_what_free_running_never_shows():
    """And what has been run is not run again."""
    if mode != 'run':
        return
    r, first = strategies('late-activate-miss,loan-stale-tlb', '--strategies', 'random', '--limit', '10m', '--seeds', '1')
    equal(r.returncode, 0, r.stdout.decode() + r.stderr.decode())
    has(r.stdout, 'controlled schedules found 2 of 2 bugs')
    late, loan = sorted(first['cells'], key=lambda c: -c['executions'])
    equal((late['bug'], late['found'], late['strategy']), ('late-activate-miss', True, 'random'))
    equal((loan['bug'], loan['found'], loan['by']), ('loan-stale-tlb', True, 'tlb/I-LOAN-1'))
    assert 1 <= loan['executions'] < late['executions'] and late['cpu_s'] > 0
    r, second = strategies('loan-stale-tlb', '--strategies', 'random,free', '--limit', '10m', '--seeds', '2', '--resume')
    equal(r.returncode, 0, r.stdout.decode() + r.stderr.decode())
    equal(second['cells'][:2], first['cells'])
    equal([(c['strategy'], c['seed']) for c in second['cells'][2:]], [('free', 1), ('free', 2), ('random', 2)])
    (medians,) = [m for m in second['medians'] if m['bug'] == 'late-activate-miss']
    equal((medians['found'], medians['median_executions']), (1, late['executions']))


@case
def a_table_of_strategies_is_resumed_by_what_fits_it():
    if mode != 'run':
        return
    equal(run('selftest', 'bugs', '--strategies', 'free,pct').returncode, 2)
    equal(run('selftest', 'bugs', '--strategies', 'all', '--resume').returncode, 2)
    words = ('selftest', 'bugs', 'loan-stale-tlb', '--strategies', 'pos', '--json', 'm.json', '--resume', '--seeds', '1')
    equal(run(*words, '--limit', '600s').returncode, 0)
    r = run(*words, '--limit', '601s')
    equal(r.returncode, 2)
    has(r.stderr, 'was made with --limit 600s')
    was = open('m.json', encoding='utf-8').read()
    twice, bad = json.loads(was), json.loads(was)
    twice['cells'] *= 2
    bad['cells'][0]['executions'] = -3
    far = json.loads(was)
    far['cells'][0]['seed'] = (1 << 32) + 1
    for text in was.replace('uvmstress-strategies/2', 'uvmstress-strategies/1'), was.replace('"pos"', '"pso"'), '{', \
            json.dumps(twice), json.dumps(bad), json.dumps(far):
        harness.write('m.json', text)
        r = run(*words, '--limit', '600s')
        equal(r.returncode, 2, text)
        has(r.stderr, 'm.json')


@case
def the_limit_of_a_cell_is_cpu_time():
    """The clock ends it only after ten times as long, and then that is told."""
    if mode != 'run':
        return
    r, table = strategies('late-activate-miss', '--strategies', 'pct:2', '--limit', '300ms', '--seeds', '1', '-v')
    equal(r.returncode, 1, r.stdout.decode() + r.stderr.decode())
    (c,) = table['cells']
    equal((c['found'], table['limit_cpu_s']), (False, 0.3))
    if c['by'] == '':
        assert c['cpu_s'] >= 0.3, c
    else:
        has(c['by'], 'ended by the clock')
        assert c['wall_s'] >= 3, c


@case
def several_controlled_cells_run_at_a_time():
    """Each has a process of its own, and all of them end when that is asked for."""
    if mode != 'run':
        return
    p = subprocess.Popen([harness.binary, 'selftest', 'bugs', 'late-activate-miss', '--strategies', 'pos,pct:2,pct:3',
                          '--jobs', '3', '--limit', '1h', '--seeds', '1', '--json', 'm.json'], stdout=subprocess.PIPE)
    children = []
    while len(children) < 3:
        assert p.poll() is None, children
        with open(f'/proc/{p.pid}/task/{p.pid}/children', encoding='ascii') as f:
            children = f.read().split()
        time.sleep(0.01)
    p.send_signal(signal.SIGTERM)
    has(p.communicate()[0], 'ended before all were run')
    for pid in children:
        assert not os.path.exists(f'/proc/{pid}'), pid
    equal(json.load(open('m.json', encoding='utf-8'))['cells'], [])


@case
def cells_beside_each_other_find_what_they_find_alone():
    if mode != 'run':
        return
    tables = []
    for jobs in '1', '4':
        r, table = strategies('wire-without-copy,timestamp', '--strategies', 'random', '--limit', '10m',
                              '--seeds', '2', '--jobs', jobs)
        equal(r.returncode, 0, r.stdout.decode() + r.stderr.decode())
        tables.append(sorted((c['bug'], c['seed'], c['found'], c['executions'], c['by']) for c in table['cells']))
    equal(len(tables[0]), 4)
    equal(tables[0], tables[1])
    equal(run('selftest', 'bugs', 'loan', '--jobs', '2').returncode, 2)


@case
def seeds_that_cannot_change_a_median_are_not_run():
    """Of three, two misses are enough, and one is not."""
    if mode != 'run':
        return

    def cell(bug, seed, found):
        return {'bug': bug, 'strategy': 'pct:2', 'seed': seed, 'found': found, 'executions': 7, 'wall_s': 3600.0,
                'cpu_s': 3600.0, 'by': ''}

    cells = [cell('late-activate-miss', 1, False), cell('late-activate-miss', 2, False),
             cell('loan-stale-tlb', 1, False), cell('loan-stale-tlb', 2, True)]
    harness.write('m.json', json.dumps({'schema': 'uvmstress-strategies/2', 'limit_cpu_s': 3600.0, 'cells': cells}))
    r, table = strategies('late-activate-miss,loan-stale-tlb', '--strategies', 'pct:2', '--limit', '1h', '--seeds', '3',
                          '--resume')
    equal(r.returncode, 1, r.stdout.decode() + r.stderr.decode())
    equal(table['cells'][:4], cells)
    equal([(c['bug'], c['seed'], c['found']) for c in table['cells'][4:]], [('loan-stale-tlb', 3, True)])
    has(r.stdout, '- (0 of 2)')


@case
def a_cell_that_the_first_seeds_all_miss_is_given_up():
    """Five of twenty will do if nothing has been found; one hit among them, and the others are run."""
    if mode != 'run':
        return

    def cell(strategy, seed, found):
        return {'bug': 'loan-stale-tlb', 'strategy': strategy, 'seed': seed, 'found': found, 'executions': 7,
                'wall_s': 3600.0, 'cpu_s': 3600.0, 'by': ''}

    cells = [cell('pos', seed, False) for seed in range(1, 6)] + [cell('pct:2', seed, seed == 2) for seed in range(1, 12)]
    harness.write('m.json', json.dumps({'schema': 'uvmstress-strategies/2', 'limit_cpu_s': 3600.0, 'cells': cells}))
    r, table = strategies('loan-stale-tlb', '--strategies', 'pos,pct:2', '--limit', '1h', '--seeds', '20', '--resume')
    has(r.stdout, '- (0 of 5)')
    has(r.stdout, '- (1 of 11)')
    equal(table['cells'], cells)
    cells = [c for c in cells if c['seed'] < 6]
    harness.write('m.json', json.dumps({'schema': 'uvmstress-strategies/2', 'limit_cpu_s': 3600.0, 'cells': cells}))
    r, table = strategies('loan-stale-tlb', '--strategies', 'pos,pct:2', '--limit', '1h', '--seeds', '12', '--resume')
    equal([(c['strategy'], c['seed'], c['found']) for c in table['cells'][len(cells):]],
          [('pct:2', seed, True) for seed in range(6, 13)])


@case
def a_circle_of_locks_is_shown_to_deadlock():
    """Predict, then confirm: what the auditor saw in a run that did not hang, a schedule does."""
    if mode == 'none':
        return
    chaos = os.path.join(os.path.dirname(harness.binary), '../../workloads/profiles/museum/chaos-small.ini')
    r = run('audit', '-q', chaos, '--bug', 'clean-object-first', '--seed', '3', '--ops', '1000', '--schedule', 'random',
            '--confirm', '400', '--json', 'g.json', preexec_fn=one_core)
    equal(r.returncode, 1, r.stderr)
    with open('g.json', encoding='utf-8') as f:
        (v,) = [v for v in json.load(f)['violations'] if v['fingerprint'] == 'lock-order:uobj>amap']
    equal(v['grade'], 'confirmed', v['why'])
    with open(v['recording'] + '/report.txt', encoding='utf-8') as f:
        has(f.read(), 'deadlock: ')
    r = run('replay', '--times', '2', v['recording'])
    equal(r.returncode, 0, r.stderr)
    has(r.stdout, '2 of 2 replays gave event hash')


@case
def without_bugs_it_says_how_to_get_them():
    if mode != 'none':
        return
    for words in ((), ('bugs',), ('bugs', 'loan')):
        r = run('selftest', *words)
        equal(r.returncode, 2)
        has(r.stderr, '-Dbugs=true')


@case
def an_unknown_bug_is_told():
    r = run('selftest', 'bugs', 'no-such-bug')
    equal(r.returncode, 2)
    has(r.stderr, '-Dbugs=true' if mode == 'none' else "no bug has 'no-such-bug' in its name")
    equal(run('selftest', 'bugs', '--seeds', '0').returncode, 2)


main()
