# SPDX-License-Identifier: BSD-2-Clause
"""--trace-events: what happened last, as a file that viewers of timelines can read."""

import json
import os

from harness import case, equal, has, main, run, write

JOB = '''[global]
cpus = 2
seed = 1
memory = 6M
swap = 32M
ops = 1500
disk-latency = 20us
history = 65536
[a]
workload = anon-fault
threads = 4
processes = 2
size = 3M
'''


def timeline(*args, status=0, job=JOB):
    write('x.ini', job)
    r = run('run', 'x.ini', '--quiet', '--trace-events', 't.json', *args)
    equal(r.returncode, status, r.stderr + r.stdout)
    with open('t.json', encoding='utf-8') as f:
        return json.load(f)['traceEvents']


def ns(x):
    return round(x * 1000)


def lines(events):
    result = {}
    for e in events:
        if e['ph'] != 'M':
            result.setdefault((e['pid'], e['tid']), []).append(e)
    return result


def inside(line, inner, outer):
    """How many spans of one name lie in one of the other."""
    spans = [(ns(e['ts']), ns(e['ts']) + ns(e['dur']), e['name']) for e in line if e['ph'] == 'X']
    return sum(any(o[2] == outer and o[0] <= i[0] and i[1] <= o[1] for o in spans)
               for i in spans if i[2] == inner)


@case
def lines_are_in_order_and_their_spans_nest():
    events = timeline()
    for name, line in lines(events).items():
        before, open_until = 0, []
        for e in line:
            begin = ns(e['ts'])
            assert begin >= before, (name, e)
            before = begin
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            if e['ph'] != 'X':
                continue
            end = begin + ns(e['dur'])
            assert end >= begin, (name, e)
            assert not open_until or end <= open_until[-1], (name, e, open_until)
            open_until.append(end)


@case
def faults_sleeps_and_pageouts_are_spans():
    # a third of what is touched has no room, and one CPU makes the same run each time: hundreds of
    # faults sleep until their page has come from the disk
    events = timeline('--cpus', '1', '--memory', '4M')
    spans = {e['name'] for e in events if e['ph'] == 'X' and e['pid'] == 2}
    assert {'fault', 'sleep'} <= spans, spans
    pageins = sum(e['ph'] == 'b' and e['name'] == 'pagein' for e in events)
    assert pageins > 100, pageins
    assert sum(inside(line, 'sleep', 'fault') for line in lines(events).values()) >= pageins
    began = [(e['name'], e['id']) for e in events if e['ph'] == 'b']
    ended = [(e['name'], e['id']) for e in events if e['ph'] == 'e']
    assert 'pageout' in {name for name, _ in began}, began
    equal(sorted(began), sorted(ended))
    assert any(e['ph'] == 'e' and e['args']['event'].startswith('pageout_done') for e in events)
    assert any(e['name'] == 'fault' and e['args']['event'].startswith('fault_done') for e in events)
    assert any(e['ph'] == 'i' and e['name'] == 'interrupt' and e['pid'] == 1 for e in events)


@case
def each_cpu_runs_one_lwp_at_a_time():
    one_at_a_time(timeline())
    # left to itself, one CPU may do it all
    equal(one_at_a_time(timeline('--schedule', 'random', '--ops', '100')), {0, 1})


def one_at_a_time(events):
    """=> the CPUs"""
    runs = [e for e in events if e['ph'] == 'X' and e['pid'] == 1]
    for cpu in 0, 1:
        end = 0
        for e in runs:
            if e['tid'] == cpu:
                assert ns(e['ts']) >= end, e
                end = ns(e['ts']) + ns(e['dur'])
    names = {e['args']['name'] for e in events if e['ph'] == 'M'}
    assert {'CPUs', 'LWPs', 'CPU 0', 'CPU 1'} <= names, names
    assert any(name.endswith(' a.0') for name in names), names
    return {e['tid'] for e in runs}


@case
def it_is_bounded_by_the_history():
    short = timeline('--set', 'global.history=256')
    assert 0 < sum(e['ph'] in 'iXb' for e in short) <= 2 * 256 + 1, len(short)
    none = timeline('--set', 'global.history=0')
    equal([e for e in none if e['ph'] != 'M'], [])


@case
def what_cannot_be_written_is_the_hosts_limit():
    write('x.ini', JOB)
    r = run('run', 'x.ini', '--quiet', '--trace-events', '/dev/full')
    equal(r.returncode, 3)
    has(r.stderr, 'cannot write /dev/full: No space left on device')
    r = run('run', 'x.ini', '--quiet', '--trace-events', '/nonexistent/t.json')
    equal(r.returncode, 3)
    has(r.stderr, 'cannot write /nonexistent/t.json: No such file')


@case
def many_executions_have_no_timeline():
    write('x.ini', JOB)
    r = run('run', 'x.ini', '--trace-events', 't.json', '--schedule', 'mix', '--iterations', '2')
    equal(r.returncode, 2)
    has(r.stderr, 'leave --iterations out')
    assert not os.path.exists('t.json')


@case
def a_controlled_schedule_has_one():
    events = timeline('--schedule', 'random', '--ops', '30')
    assert any(e['name'] == 'fault' for e in events if e['ph'] == 'X')


main()
