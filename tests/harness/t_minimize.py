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
LOAN = '''[global]
cpus = 2
memory = 8M
swap = 32M
ops = 10
seed = 1
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
seed = 1
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
seed = 6225
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


def failure(profile):
    """=> the directory of the first seed that fails"""
    write('x.ini', profile)
    r = run('run', 'x.ini', '--iterations', '2000', '--quiet', '--out', 'out')
    equal(r.returncode, 1, r)
    return 'out/0001'


def fingerprints(path):
    return [v['fingerprint'] for v in json.load(open(f'{path}/result.json'))['violations']]


def number(path, key):
    return int(re.search(rf'^{key} = (\d+)', open(f'{path}/profile.ini').read(), re.M).group(1))


def minimized(path, *words):
    """=> where it lies and what was printed; it is sound"""
    r = run('minimize', path, *words)
    equal(r.returncode, 0, r)
    out, text = f'{path}/minimized', r.stdout.decode()
    assert set(fingerprints(out)) & set(fingerprints(path)), 'another bug'
    story = open(f'{out}/story.txt').read()
    has(text, story)
    assert 3 <= len(story.splitlines()) <= 70, story
    again = run('replay', out)
    equal(again.returncode, 1, again)
    has(again.stdout, 'as recorded')
    return out, text, story


@case
def the_machine_becomes_small():
    out, text, story = minimized(failure(LOAN), '--seeds', '20')
    assert '[pressure]' not in open(f'{out}/profile.ini').read()
    assert number(out, 'ops') < 10 and number(out, 'threads') < 4, text
    has(story, 'I-LOAN-1')


@case
def switches_that_do_not_matter_go_and_the_race_is_told():
    out, text, story = minimized(failure(COW), '--seeds', '20', '--attempts', '1500')
    left, of = map(int, re.search(r'(\d+) of (\d+) switches had to be', text).groups())
    assert 0 < left < of / 2, text
    assert re.search(r'^ +(amap|anon)_\w+ .*, in .*amap_copy', story, re.M), story    # an event, and where it was
    assert len(set(re.findall(r'LWP (\d+) \(', story))) >= 2, story
    assert re.match(r' *1\. CPU \d+, LWP \d+ \(', story), story


@case
def operations_that_do_not_matter_go():
    out, text, story = minimized(failure(STALE), '--seeds', '20', '--attempts', '1500')
    left, of = map(int, re.search(r'(\d+) of (\d+) operations', text).groups())
    assert 0 < left < of / 2, text
    steps = re.search(r'^steps = (.*)', open(f'{out}/profile.ini').read(), re.M).group(1)
    kept = sum(int(b or a) - int(a) + 1 for worker in steps.split() for a, b in
               re.findall(r'(\d+)(?:-(\d+))?', worker.split(':')[1]))
    equal(kept, left, steps)


@case
def a_stale_translation_has_a_birth():
    """Who filled the TLB, who changed the page tables without it, who used it."""
    out, text, story = minimized(failure(STALE), '--seeds', '20', '--attempts', '300')
    cpu, va, frame = re.search(r'tlb I-PMAP-6: CPU (\d): TLB maps va (0x\w+)\w{3} to frame (0x\w+)', story).groups()
    page = int(frame, 16) // 4096
    end = story[story.index('tlb I-PMAP-6'):]
    filled = list(re.finditer(rf'CPU {cpu}, LWP \d+: tlb_fill page {page} at {va}000', end))[-1]
    freed = re.search(rf'LWP \d+: page_free page {page} ', end)
    assert freed and filled.start() < freed.start(), end
    before = end[:filled.start()]
    assert re.search(rf'page_free page {page} .*, in .*uvm_pagefree', end), end
    has(before, f'pmap_page_protect page {page} rights 0')      # the CPUs were chosen before that
    has(story, 'is found out in mmu_miss')


@case
def it_does_not_drift_to_another_bug():
    """Without [tx] the machine soon fails too, but by the other bug."""
    both = COW.replace('bug = ', 'bug = loan-stale-tlb,').replace('[cow]', '[tx]\nworkload = loan-tx\n'
                       'threads = 2\n[cow]').replace('seed = 1', 'seed = 3')
    path = failure(both)
    has(open(f'{path}/report.txt').read(), 'I-LOAN-1')
    out, text, story = minimized(path, '--seeds', '20', '--attempts', '400')
    has(open(f'{out}/profile.ini').read(), '[tx]')
    has(story, 'I-LOAN-1')


@case
def a_small_budget_is_enough_for_something():
    out, text, story = minimized(failure(LOAN), '--attempts', '5')
    has(story, 'I-LOAN-1')


@case
def a_bug_stays_itself_whichever_command_comes_to_it():
    """Found by the main thread, below which `run` has another stack than `minimize`."""
    out, text, story = minimized(failure(LOAN.replace('loan-stale-tlb', 'wired-stays-queued')), '--attempts', '5')
    has(story, 'I-FLT-8')


@case
def what_the_lock_auditor_found_stays_that():
    """Its fingerprint is as long as the names of the locks."""
    out, text, story = minimized(failure(LOAN.replace('audit = off', 'inject = pmap-enter:p=0.9').replace(
        'loan-stale-tlb', 'enter-retry-holds-locks')), '--attempts', '20')
    has(story, 'sleep-with-lock')
    has(story, 'uvm_fault_upper')


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
