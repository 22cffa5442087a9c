# SPDX-License-Identifier: BSD-2-Clause
"""`minimize`: bugs of the museum, found under controlled schedules, become small, stay themselves,
replay, and are told.

`t_minimize.py UVMSTRESS [--skip REASON]`: without bugs in the build there is nothing to shrink."""

import json
import os
import re
import sys

from harness import case, equal, has, main, run, write

skip = sys.argv[3] if sys.argv[2:3] == ['--skip'] else None
MUSEUM = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../workloads/profiles/museum')
LINES_MAX = 40          # of a story
TRIES = 8               # failing runs until one is as most of them are
EXECUTIONS = '50000'    # until a run has failed
LOAN = '''[global]
cpus = 2
memory = 8M
swap = 32M
ops = 10
schedule = mix
audit = off
bug = loan-stale-tlb
[tx]
workload = loan-tx
threads = 4
processes = 2
[pressure]
workload = anon-fault
threads = 1
size = 5M
'''
COW = '''[global]
cpus = 4
memory = 4M
swap = 4M
ops = 30
schedule = mix
audit = off
bug = unref-race-double-free
[cow]
workload = cow-fork
threads = 5
size = 8K
'''


STALE = '''[global]
cpus = 2
memory = 1M
swap = 2M
ops = 40
clock-interval = 1
schedule = random
audit = off
bug = late-activate-miss
[cut]
workload = truncate
threads = 3
processes = 3
file-size = 8K
operations = load:6 store:2 truncate:2
'''


def failures(profile, like=''):
    """=> directories of the first runs that fail, and say so in their report"""
    write('x.ini', profile)
    seed = 1
    for n in range(TRIES):
        r = run('run', 'x.ini', '--seed', str(seed), '--iterations', EXECUTIONS, '--quiet', '--out', f'out{n}')
        equal(r.returncode, 1, r)
        path = f'out{n}/0001'
        seed = sum_of(path, 'seed') + 1
        if like in open(f'{path}/report.txt').read():
            yield path


def failure(profile):
    return next(failures(profile))


def violations(path):
    return json.load(open(f'{path}/result.json'))['violations']


def fingerprints(path):
    return [v['fingerprint'] for v in violations(path)]


def sum_of(path, key):
    """=> of all sections of its profile"""
    return sum(map(int, re.findall(rf'^{key} = (\d+)', open(f'{path}/profile.ini').read(), re.M)))


def is_sound(story, v):
    """Steps are numbered, somebody's each, and lead to the violation."""
    lines = story.splitlines()
    assert 3 <= len(lines) <= LINES_MAX, story
    steps = [m for m in map(re.compile(r' *(\d+)\. (.*)').fullmatch, lines) if m]
    equal([int(m.group(1)) for m in steps], list(range(1, len(steps) + 1)), story)
    for m in steps[:-1]:
        assert re.match(r'CPU \d+, LWP \d+ \(|(CPU \d+, )?thread ', m.group(2)), m.group(0)
    has(steps[-1].group(2), f'{v["kind"]} {v["id"]}')
    found = lines[lines.index(steps[-1].group(0)) - 1]
    assert found.startswith('     is found out in ') and 'kern_assert_fail' not in found, story


def minimized(path, *words):
    """=> where it lies, what was printed, and the story.  What is promised of any failing run holds."""
    r = run('minimize', path, '--limit', '3600', *words)
    equal(r.returncode, 0, r)
    out, text = f'{path}/minimized', r.stdout.decode()
    assert set(fingerprints(out)) & set(fingerprints(path)), 'another bug'
    for key in 'cpus', 'ops', 'threads', 'processes':
        assert sum_of(out, key) <= sum_of(path, key), text
    for left, of in re.findall(r'(\d+) of (\d+) (?:operations|switches)', text):
        assert int(left) <= int(of), text
    story = open(f'{out}/story.txt').read()
    has(text, story)
    is_sound(story, violations(out)[0])
    again = run('replay', out)
    equal(again.returncode, 1, again)
    has(again.stdout, 'as recorded')
    return out, text, story


def one_of(runs, check, *words):
    """All are minimized as promised; not all of them become as small or as telling as most do, but one."""
    why = 'no run failed like that'
    for path in runs:
        found = minimized(path, *words)
        try:
            return check(*found)
        except (AssertionError, AttributeError, IndexError) as e:      # the latter: what is looked for is not there
            why = e
    raise AssertionError(why)


@case
def the_machine_becomes_small():
    def check(out, text, story):
        assert '[pressure]' not in open(f'{out}/profile.ini').read()
        assert sum_of(out, 'ops') < 10 and sum_of(out, 'threads') < 4, text
        has(story, 'I-LOAN-1')
    one_of(failures(LOAN), check, '--seeds', '20')


@case
def switches_that_do_not_matter_go_and_the_race_is_told():
    def check(out, text, story):
        left, of = map(int, re.search(r'(\d+) of (\d+) switches had to be', text).groups())
        assert 0 < left < of / 2, text
        assert re.search(r'^ +(amap|anon)_\w+ .*, in .*amap_copy', story, re.M), story    # an event, and where it was
        assert len(set(re.findall(r'LWP (\d+) \(', story))) >= 2, story
    one_of(failures(COW), check, '--seeds', '20', '--attempts', '600')


@case
def operations_that_do_not_matter_go():
    def check(out, text, story):
        left, of = map(int, re.search(r'(\d+) of (\d+) operations', text).groups())
        assert 0 < left < of, text
        steps = re.search(r'^steps = (.*)', open(f'{out}/profile.ini').read(), re.M).group(1)
        kept = sum(int(b or a) - int(a) + 1 for worker in steps.split() for a, b in
                   re.findall(r'(\d+)(?:-(\d+))?', worker.split(':')[1]))
        equal(kept, left, steps)
    one_of(failures(STALE), check, '--seeds', '20', '--attempts', '600')


@case
def a_stale_translation_has_a_birth():
    """Who filled the TLB, who changed the page tables without it, who used it."""
    def check(out, text, story):
        cpu, va, frame = re.search(r'tlb I-PMAP-6: CPU (\d): TLB maps va (0x\w+)\w{3} to frame (0x\w+)', story).groups()
        page = int(frame, 16) // 4096
        end = story[story.index('tlb I-PMAP-6'):]
        filled = list(re.finditer(rf'CPU {cpu}, LWP \d+: tlb_fill page {page} at {va}000', end))[-1]
        freed = re.search(rf'LWP \d+: page_free page {page} ', end)
        assert freed and filled.start() < freed.start(), end
        assert re.search(rf'page_free page {page} .*, in .*uvm_pagefree', end), end
        has(end[:freed.start()], f'pmap_page_protect page {page} rights 0')
        has(story, 'is found out in mmu_miss')
    one_of(failures(STALE), check, '--seeds', '20', '--attempts', '300')


@case
def it_does_not_drift_to_another_bug():
    """Without [tx] the machine soon fails too, but by the other bug."""
    def check(out, text, story):
        has(open(f'{out}/profile.ini').read(), '[tx]')
        has(story, 'I-LOAN-1')
    both = COW.replace('bug = ', 'bug = loan-stale-tlb,').replace('[cow]', '[tx]\nworkload = loan-tx\n'
                       'threads = 2\n[cow]')
    check(*minimized(next(failures(both, 'I-LOAN-1')), '--seeds', '20', '--attempts', '400'))


@case
def a_small_budget_is_enough_for_something():
    out, text, story = minimized(failure(LOAN), '--attempts', '5')
    has(story, 'I-LOAN-1')


@case
def time_that_is_up_is_enough_for_something():
    out, text, story = minimized(failure(LOAN), '--limit', '1')
    has(story, 'I-LOAN-1')


@case
def a_bug_stays_itself_whichever_command_comes_to_it():
    """Found by the main thread, below which `run` has another stack than `minimize`."""
    path = next(failures(LOAN.replace('loan-stale-tlb', 'wired-stays-queued'), 'I-FLT-8'))
    out, text, story = minimized(path, '--attempts', '5')
    has(story, 'I-FLT-8')


@case
def what_the_lock_auditor_found_stays_that():
    """Its fingerprint is as long as the names of the locks."""
    profile = LOAN.replace('audit = off', 'inject = pmap-enter:p=0.9').replace('loan-stale-tlb', 'enter-retry-holds-locks')
    out, text, story = minimized(next(failures(profile, 'sleep-with-lock')), '--attempts', '20')
    has(story, 'sleep-with-lock')
    has(story, 'uvm_fault_upper')


def tells(bug, path, *functions):
    """Its story has all of them: what was done, and by whom."""
    def check(out, text, story):
        for name in functions:
            assert re.search(rf'\b{name}\b', story), f'{bug}: {name} is not in\n{story}'
    one_of(path, check, '--seeds', '10', '--attempts', '60')


def small(bug, profile, *settings):
    """=> the profile of a bug of the museum, with those lines put into its [global]"""
    text = open(os.path.join(MUSEUM, f'{profile}.ini')).read()
    return text.replace('[global]', '\n'.join(('[global]', f'bug = {bug}', 'schedule = mix', 'ops = 20') + settings), 1)


@case
def who_freed_a_process_is_told():
    """The reader that meets it, who let go of it last, and that nobody waited."""
    profile = small('rcu-early-free', 'ps')
    path = failure(profile)
    if not os.path.exists(f'{path}/schedule'):      # AddressSanitizer saw the reader first, and ended it
        has(open(f'{path}/report.txt').read(), 'crash worker')
        return
    tells('rcu-early-free', iter([path]), 'assert_alive', 'proc_free_rcu', 'call_rcu', 'proc_rele')


@case
def what_was_asked_and_answered_is_told():
    """It did no more than to give a wrong answer."""
    tells('vslock-overlap', failures(small('vslock-overlap', 'wire'), 'I-MAP-13'), 'uvm_mapping_wired')


@case
def who_took_a_mapping_away_is_told():
    """The violation is about an address alone: nothing is there any more, and the process has it from another one."""
    tells('mremap-loses-old', failures(small('mremap-loses-old', 'mremap'), 'refused'), 'uvm_mremap')


@case
def the_mistake_is_in_the_story():
    for bug, profile, function in (('wanted-lost', 'wait', 'uvm_wait'), ('merge-frees-spare', 'pools', 'uvm_map_enter'),
                                   ('failed-enter-keeps-old', 'enter', 'pmap_enter'), ('async-caller-cleans', 'files', 'uvn_put')):
        tells(bug, failures(small(bug, profile)), function)


@case
def what_is_no_recording_is_refused():
    path = failure(LOAN)
    equal(run('minimize').returncode, 2)
    equal(run('minimize', 'nowhere').returncode, 2)
    equal(run('minimize', path, '--seeds', '0').returncode, 2)
    was = open(f'{path}/schedule', 'rb').read()
    write(f'{path}/schedule', re.sub(rb'build [0-9a-f]', b'build x', was))
    r = run('minimize', path)
    equal(r.returncode, 2, r)
    has(r.stderr, 'recorded by another build')


@case
def a_recording_that_leads_elsewhere_is_told():
    path = failure(LOAN)
    was = open(f'{path}/schedule', 'rb').read()
    write(f'{path}/schedule', re.sub(rb'\nhash [0-9a-f]{4}', b'\nhash zzzz', was))
    r = run('minimize', path)
    equal(r.returncode, 1, r)
    has(r.stderr, 'does not lead to a violation as it did')
    assert not os.path.exists(f'{path}/minimized')


if skip is not None:
    print(f'1..0 # SKIP {skip}')
else:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})     # one worker: the first seed that fails, always
    main()
