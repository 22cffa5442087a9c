# SPDX-License-Identifier: BSD-2-Clause
"""The commands, their outputs and exit statuses, over a double of the engine."""

import json
import os
import pty
import re
import resource
import signal
import subprocess
import time

import harness
from harness import PATIENCE, case, equal, has, main, run, write

JOB = '[a]\nworkload = anon-fault\n'


def job(ending='clean', rest=''):
    write('x.ini', JOB + f'ending = {ending}\n' + rest)


def usage(line, *args):
    r = run(*args)
    equal((r.returncode, r.stdout), (2, b''), args)
    err = r.stderr.decode()
    assert err.startswith(line), f'{args}: {err!r}, want {line!r}'
    equal(err.count('\n'), 1, err)


@case
def help_and_version_go_to_standard_output():
    for args in ['--help'], ['help'], ['run', '--help'], ['check', '-h'], ['list', '--help'], \
            ['trace', '--help'], ['trace', 'record', '--help'], ['trace', 'info', '--help'], \
            ['bench', '--help'], ['audit', '--help'], ['audit', 'diff', '--help'], ['--version']:
        r = run(*args)
        equal((r.returncode, r.stderr), (0, b''), args)
        assert r.stdout
    has(run('--help').stdout, 'usage: uvmstress COMMAND')
    has(run('run', '--help').stdout, '--status-json FILE')
    equal(run('--version').stdout.split()[0], b'uvmstress')


@case
def wrong_usage_is_one_line_and_2():
    job()
    usage('uvmstress: no command given')
    usage("uvmstress: unknown command 'rnu'; did you mean 'run'?", 'rnu')
    usage('uvmstress run: no job file given', 'run')
    usage("uvmstress run: unknown option '--cpsu'; did you mean '--cpus'?", 'run', '--cpsu', '4', 'x.ini')
    usage("uvmstress run: unknown option '-z'", 'run', '-z', 'x.ini')
    usage('uvmstress run: --cpus needs a value', 'run', 'x.ini', '--cpus')
    usage('uvmstress run: --quiet takes no value', 'run', 'x.ini', '--quiet=yes')
    usage('uvmstress: --cpus 0: must be a whole number, 1 to 256', 'run', 'x.ini', '--cpus', '0')
    usage('uvmstress: --time soon: must be a duration', 'run', 'x.ini', '--time', 'soon')
    usage('uvmstress: --seed : has no value', 'run', 'x.ini', '--seed', '')
    usage('uvmstress run: --status-interval 1: must be a duration', 'run', 'x.ini', '--status-interval', '1')
    usage("uvmstress list: nothing to list under 'lock'; did you mean 'locks'?", 'list', 'lock')
    usage("uvmstress list: nothing to list under 'cabbages'", 'list', 'cabbages')
    usage("uvmstress bench: no benchmark 'falt'; did you mean 'fault'?", 'bench', 'falt')
    usage("uvmstress trace: '' is no verb; there are record and info", 'trace')
    usage('uvmstress trace record: no -o FILE given', 'trace', 'record', 'ls')
    usage('uvmstress trace record: no command to record given', 'trace', 'record', '-o', 'x')
    usage('uvmstress trace info: no trace given', 'trace', 'info')
    usage('uvmstress: x.ini: not a trace', 'trace', 'info', 'x.ini')
    usage('uvmstress audit: no job file and no --merge FILE given', 'audit')
    usage('uvmstress audit: --export rows: must be comment, kassert or edges', 'audit', 'x.ini', '--export', 'rows')
    usage('uvmstress audit: --confirm -1: must be a whole number, 0 to ', 'audit', 'x.ini', '--confirm', '-1')
    usage('uvmstress: cannot read gone.json: No such file', 'audit', '--merge', 'gone.json')
    usage('uvmstress: cannot read .: it is no regular file', 'audit', 'x.ini', '--baseline', '.')
    usage('uvmstress: x.ini:1: not JSON', 'audit', '--merge', 'x.ini')
    usage('uvmstress audit diff: two graphs are compared', 'audit', 'diff', 'x.ini')
    usage('uvmstress: the run was not audited: say --audit full', 'audit', '-q', 'x.ini', '--audit', 'off')


@case
def iterations_are_added_up():
    job()
    r = run('run', 'x.ini', '--iterations', '3', '--seed', '5', '--json', 'i.json')
    equal(r.returncode, 0, r.stderr)
    one, three = run('run', 'x.ini', '--seed', '5', '--json', 'one.json'), json.load(open('i.json'))
    equal(one.returncode, 0, one.stderr)
    equal((three['iterations'], three['seed'], three['outcome']), (3, 5, 'clean'))
    one = json.load(open('one.json'))
    equal(three['jobs'][0]['operations'], 3 * one['jobs'][0]['operations'])
    equal(three['faults']['total'], 3 * one['faults']['total'])


@case
def first_and_last_line_are_the_same_sentence():
    job()
    r = run('run', 'x.ini', '--cpus', '3', '--seed', '42')
    equal(r.returncode, 0, r.stderr)
    lines = r.stdout.decode().splitlines()
    assert lines[0].startswith('uvmstress ') and lines[0].endswith(', schedule free, 3 CPUs'), lines[0]
    has(lines[0], ': seed 42, profile ')
    assert lines[-1].startswith(lines[0] + ': clean after '), lines[-1]
    assert lines[-1].endswith(f'repeat with: {harness.binary} run x.ini --cpus 3 --seed 42'), lines[-1]


@case
def a_chosen_seed_is_in_the_command_that_repeats_the_run():
    job()
    lines = run('run', 'x.ini', '--set', 'a.write-fraction=0.1').stdout.decode().splitlines()
    seed = lines[0].split('seed ')[1].split(',')[0]
    assert lines[-1].endswith(f'run x.ini --set a.write-fraction=0.1 --seed {seed}'), lines[-1]
    again = subprocess.run(lines[-1].split('repeat with: ')[1], shell=True, capture_output=True, text=True)
    equal(again.stdout.splitlines()[0], lines[0])


@case
def words_are_quoted_where_the_shell_needs_it():
    write("it's.ini", JOB)
    line = run('run', "it's.ini", '--seed', '1').stdout.decode().splitlines()[-1]
    equal(subprocess.run(line.split('repeat with: ')[1], shell=True, capture_output=True).returncode, 0)


@case
def json_has_every_key():
    job(rest='[b]\nworkload = file-map\n')
    r = run('run', 'x.ini', '--json', 'r.json', '--seed', '5', '--cpus', '2', '--memory', '32M')
    equal(r.returncode, 0, r.stderr)
    with open('r.json') as f:
        j = json.load(f)
    want = {'schema': 'uvmstress-run/1', 'outcome': 'clean', 'seed': 5, 'schedule': 'free', 'cpus': 2,
            'memory_bytes': 32 << 20, 'swap_bytes': 0, 'iterations': 1, 'violations': [], 'missing': []}
    for key, value in want.items():
        equal(j[key], value, key)
    for key in 'elapsed_s', 'iterations_per_s':
        assert isinstance(j[key], float), key
    assert isinstance(j['version'], str)
    assert 'event_hash' not in j
    equal([(x['name'], x['workload']) for x in j['jobs']], [('a', 'anon-fault'), ('b', 'file-map')])
    for x in j['jobs']:
        equal(set(x), {'name', 'workload', 'threads', 'operations', 'operations_per_s', 'bytes_verified', 'killed'})
    for group, keys in {
        'faults': 'total per_s zero_fill cow promote soft pagein shortage_retries',
        'loans': 'to_kernel to_anon broken returned',
        'interrupts': 'delivered pool_puts ipis',
    }.items():
        for key in keys.split():
            assert isinstance(j[group][key], (int, float)), (group, key)
    equal(j['uvmexp']['npages'], 4096)
    equal(set(j['latency_ns']['fault']), {'p50', 'p90', 'p99', 'p999', 'max', 'histogram'})
    equal(set(j['locks'][0]), {'class', 'acquisitions', 'contended', 'wait_ns', 'hold_ns_max'})
    equal(j['checks'], [{'id': 'leak-at-exit', 'runs': 1, 'violations': 0}])
    equal(sorted(os.listdir()), ['r.json', 'x.ini'])


@case
def json_to_standard_output_has_it_for_itself():
    job()
    r = run('run', 'x.ini', '--json', '-')
    equal(json.loads(r.stdout)['outcome'], 'clean')
    has(r.stderr, ': clean after ')


@case
def a_violation_is_1_and_kept_whole():
    job('violation')
    r = run('run', 'x.ini', '--out', 'deep/out', '--json', 'r.json', '--seed', '9')
    equal(r.returncode, 1, r.stderr)
    equal(sorted(os.listdir('deep/out')), ['0001'])
    equal(sorted(os.listdir('deep/out/0001')), ['profile.ini', 'report.txt', 'result.json'])
    has(r.stdout, 'VIOLATION invariant I-PG-2 at 0.250 s on CPU 1: page 7 is on two lists')
    with open('deep/out/0001/report.txt') as f:
        report = f.read()
    for part in 'page 7 is on two lists', 'uvm_pagefree', 'locks held: pageq', \
            f'    {harness.binary} run x.ini --seed 9\n':
        has(report, part)
    for path in 'r.json', 'deep/out/0001/result.json':
        with open(path) as f:
            j = json.load(f)
        v = j['violations'][0]
        equal((j['outcome'], v['kind'], v['id'], v['cpu'], v['dir']),
              ('violation', 'invariant', 'I-PG-2', 1, 'deep/out/0001'))
        equal(len(v['stack']), 2)
        equal(len(v['fingerprint']), 16)
    again = run('run', 'deep/out/0001/profile.ini', '--out', 'deep/out')
    equal(again.returncode, 1)
    has(again.stdout, 'seed 9,')
    equal(sorted(os.listdir('deep/out')), ['0001', '0002'])


@case
def what_is_found_is_told_and_kept_while_the_run_goes_on():
    job('found')
    p = subprocess.Popen([harness.binary, 'run', 'x.ini', '--quiet', '--seed', '5', '--time', '1h'], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = [p.stderr.readline().decode() for _ in range(4)]
    equal(p.poll(), None, first)
    equal(first[0], 'VIOLATION lock-order lock-cycle at 0.125 s: so far\n')
    has(first[1], 'latent, fingerprint lock-cycle:so-far')
    equal(first[2].split(': ')[0], '    looks for a schedule that deadlocks')
    has(first[2], ' audit x.ini --seed 5 --time 1h')
    has(first[3], 'kept in uvmstress-out/0001; repeat with: ')
    has(first[3], '--seed 5 --time 1h')
    report = open('uvmstress-out/0001/report.txt').read()
    has(report, 'VIOLATION lock-order lock-cycle')
    has(report, 'Written after 0.250 s, while the run went on.')
    equal(json.load(open('uvmstress-out/0001/result.json'))['outcome'], 'violation')
    p.send_signal(signal.SIGTERM)
    out, err = p.communicate(timeout=PATIENCE)
    equal((p.returncode, err), (1, b''))
    has(out, 'VIOLATION lock-order lock-cycle')
    equal(os.listdir('uvmstress-out'), ['0001'])
    equal(sorted(os.listdir('uvmstress-out/0001')), ['profile.ini', 'report.txt', 'result.json'])
    report = open('uvmstress-out/0001/report.txt').read()
    has(report, 'The run as a whole')
    assert 'went on' not in report, report


@case
def a_fatal_end_reports_as_much():
    job('fatal')
    r = run('run', 'x.ini', '--json', 'r.json')
    equal(r.returncode, 1, r.stderr)
    has(r.stdout, ': violation after ')
    with open('r.json') as f:
        equal(json.load(f)['violations'][0]['kind'], 'panic')
    equal(os.listdir('uvmstress-out'), ['0001'])


@case
def a_run_that_proved_nothing_is_4():
    job('vacuous')
    r = run('run', 'x.ini', '--json', '-')
    equal(r.returncode, 4)
    j = json.loads(r.stdout)
    equal((j['outcome'], j['missing']), ('vacuous', ['faults.cow (needed by [a])']))
    has(r.stderr, 'PROVED NOTHING: faults.cow (needed by [a]) stayed 0')
    assert not os.path.exists('uvmstress-out')


@case
def what_the_host_refuses_is_3_and_what_the_profile_asks_is_2():
    job('nomem')
    r = run('run', 'x.ini')
    equal((r.returncode, r.stderr), (3, b'uvmstress: no room for 64M of simulated memory\n'))
    job('invalid')
    r = run('run', 'x.ini')
    equal((r.returncode, r.stderr), (2, b'uvmstress: the trace needs more memory\n'))


@case
def quiet_is_silent_when_all_is_well():
    job()
    r = run('run', 'x.ini', '--quiet')
    equal((r.returncode, r.stdout, r.stderr), (0, b'', b''))
    job('violation')
    r = run('run', '-q', 'x.ini')
    equal((r.returncode, r.stderr), (1, b''))
    equal(r.stdout.count(b'VIOLATION'), 1)


def audit(*args, status=0):
    r = run('audit', '-q', '--seed', '3', '--confirm', '0', *args)
    equal(r.returncode, status, (args, r.stderr))
    return r


@case
def an_audit_reports_the_order_and_what_broke_it():
    job()
    r = run('audit', 'x.ini', '--seed', '3', '--json', 'g.json', '--dot', 'g.dot')
    equal(r.returncode, 0, r.stderr)
    has(r.stdout, 'lock order of x (seed 3): 2 classes used, 1 arrows')
    has(r.stdout, '   70 amap                               0 |     1        5 map\n')
    with open('g.json') as f:
        j = json.load(f)
    equal((j['schema'], j['runs'][0]['name'], j['locks'][1]['class'], j['violations']),
          ('uvmstress-lockgraph/1', 'x', 'amap', []))
    equal([(e['from'], e['to']) for e in j['edges']], [('map', 'amap')])
    with open('g.dot') as f:
        has(f.read(), 'digraph "lock order"')
    job('misorder')
    r = audit('x.ini', '--json', '-', status=1)
    equal(json.loads(r.stdout)['violations'][0]['grade'], 'unconfirmed')
    has(r.stderr, 'VIOLATION lock-cycle: amap and map form a cycle\n  map -> amap -> map\n')
    has(r.stderr, '      lock-cycle:amap,map REASON\n')
    equal(run('run', 'x.ini', '--json', 'r.json').returncode, 1)
    with open('r.json') as f:
        v = json.load(f)['violations'][0]
    equal((v['kind'], v['grade'], v['fingerprint']), ('lock-order', 'unconfirmed', 'lock-cycle:amap,map'))
    with open('uvmstress-out/0002/report.txt') as f:
        has(f.read(), '      amap wanted at               uvm_unmap (uvm_map.c:2)\n')


@case
def a_circle_is_confirmed_by_a_schedule_that_deadlocks():
    job('misorder')
    r = run('audit', '-q', 'x.ini', '--seed', '3', '--json', 'g.json', '--dot', 'g.dot')
    equal(r.returncode, 1, r.stderr)
    has(r.stderr, 'map>amap>map: looking for a schedule that deadlocks')
    with open('g.json') as f:
        v = json.load(f)['violations'][0]
    equal((v['grade'], v['waived']), ('confirmed', None))
    has(r.stdout, '  grade: confirmed: a schedule that deadlocks was found, and is recorded in ' + v['recording'])
    has(r.stdout, '  to see it: uvmstress replay ' + v['recording'])
    assert b'REASON' not in r.stdout, 'what is confirmed cannot be waived'
    with open(v['recording'] + '/report.txt') as f:
        has(f.read(), 'deadlock: a has map')
    with open('g.dot') as f:
        equal(f.read().count('label="confirmed"'), 2)


@case
def a_circle_that_no_schedule_confirmed_says_how_many_tried():
    job('misorder')
    r = run('audit', '-q', 'x.ini', '--seed', '1', '--json', '-', '--confirm', '3')
    equal(r.returncode, 1, r.stderr)
    v = json.loads(r.stdout)['violations'][0]
    equal((v['grade'], v['recording'], v['why']), ('unconfirmed', None, '3 directed schedules did not deadlock'))
    equal(sorted(f for f in os.listdir('uvmstress-out') if f.endswith('.json')), [])


@case
def audits_are_merged_and_compared():
    job()
    write('bad.ini', JOB + 'ending = misorder\n')
    audit('x.ini', '--json', 'a.json')
    audit('bad.ini', '--json', 'b.json', status=1)
    audit('x.ini', 'bad.ini', '--json', 'two.json', status=1)
    audit('--merge', 'a.json', '--merge', 'b.json', '--json', 'merged.json', status=1)
    with open('two.json') as f, open('merged.json') as g:
        two, merged = json.load(f), json.load(g)
    for key in 'locks', 'edges', 'violations':
        equal(two[key], merged[key], key)
    equal([r['name'] for r in merged['runs']], ['x', 'bad'])
    equal(merged['edges'][0]['runs'], [0, 1])
    has(audit('bad.ini', '--baseline', 'a.json', status=1).stdout, '+ edge amap -> map AGAINST the declared order')
    has(audit('bad.ini', '--baseline', 'b.json').stdout, 'nothing that the baseline has not')
    r = run('audit', 'diff', 'a.json', 'b.json')
    equal((r.returncode, r.stdout.count(b'\n')), (1, 2), r.stdout)
    r = run('audit', 'diff', 'b.json', 'a.json')
    equal((r.returncode, r.stdout[:1]), (0, b'-'))
    equal(run('audit', 'diff', 'a.json', 'a.json').stdout, b'')


@case
def a_baseline_forgives_no_other_violation():
    job('violation')
    audit('x.ini', '--json', 'a.json', status=1)
    audit('x.ini', '--baseline', 'a.json', status=1)


@case
def an_audit_that_ends_in_panic_reports_what_it_saw():
    write('x.ini', JOB)
    write('bad.ini', JOB + 'ending = fatal\n')
    r = run('audit', 'x.ini', 'bad.ini', 'x.ini', '--seed', '3', '--json', 'g.json')
    equal(r.returncode, 1)
    has(r.stdout, 'lock order of x (seed 3), bad (seed 3)')
    with open('g.json') as f:
        equal(len(json.load(f)['runs']), 2)
    r = run('audit', 'x.ini', 'bad.ini', '--seed', '3', '--baseline', 'g.json')
    equal(r.returncode, 1)
    has(r.stdout, 'the run ended early: ')
    equal(b'nothing that the baseline has not' in r.stdout, False, r.stdout)


@case
def an_audit_writes_source():
    job()
    has(audit('x.ini', '--export', 'kassert').stdout, '\tKASSERT(!mutex_owned(amap));')
    has(audit('x.ini', '--export', 'comment').stdout, ' *\tmap              > amap\n')
    equal(audit('x.ini', '--export', 'edges').stdout, b'LOCK_EDGE("map", "amap", "x")\n')


def waiting(*args, **kw):
    """=> a run that has begun and goes on until it is told to end; its status is in s.json"""
    job('wait')
    p = subprocess.Popen([harness.binary, 'run', 'x.ini', '--time', '1h', '--json', 'r.json', '--status-json', 's.json',
                          '--status-interval', '10ms', *args], stdin=subprocess.DEVNULL, **kw)
    while not os.path.exists('s.json') or os.path.getsize('s.json') == 0:
        equal(p.poll(), None)
        time.sleep(0.01)
    return p


@case
def two_signals_at_once_are_one():
    p = waiting(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for sig in signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT:   # as it goes on both are there
        p.send_signal(sig)
    out, _ = p.communicate(timeout=PATIENCE)
    equal(p.returncode, 0)
    has(out, ': interrupted after ')
    with open('r.json') as f:
        equal(json.load(f)['outcome'], 'interrupted')


@case
def signals_end_a_run_early_and_cleanly():
    for sig in signal.SIGINT, signal.SIGTERM:
        p = waiting(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.send_signal(sig)
        out, err = p.communicate(timeout=PATIENCE)
        equal(p.returncode, 0, err)
        has(out, ': interrupted after ')
        has(err, ' ops (')
        with open('r.json') as f:
            equal(json.load(f)['outcome'], 'interrupted')
        with open('s.json') as f:
            lines = [json.loads(line) for line in f]
        assert len(lines) >= 2
        for line in lines:
            equal(line['schema'], 'uvmstress-status/1')
        equal([x['event'] for x in lines[:1] + lines[-1:]], ['progress', 'end'])
        equal(lines[-1]['outcome'], 'interrupted')
        os.remove('s.json')


def read_terminal(fd):
    try:
        return os.read(fd, 1000)
    except OSError:             # nobody has its other end any more
        return b''


@case
def progress_redraws_on_a_terminal_only():
    main_fd, term = pty.openpty()
    p = waiting(stdout=subprocess.DEVNULL, stderr=term)
    os.close(term)
    seen = b''
    while seen.count(b'\r\x1b[K') < 3:
        part = read_terminal(main_fd)
        assert part, seen
        seen += part
    p.terminate()
    while read_terminal(main_fd):       # or it would wait for us
        pass
    equal(p.wait(PATIENCE), 0)
    os.close(main_fd)
    assert b'\n' not in seen, seen
    for line in seen.split(b'\r\x1b[K'):
        assert len(line) < 80, line


@case
def output_that_cannot_be_written_is_3():
    job('violation')
    for args, why in (['--json', '/dev/full'], 'cannot write /dev/full: No space left on device'), \
            (['--json', 'gone/r.json'], 'cannot write gone/r.json: No such file or directory'), \
            (['--json', '.'], 'cannot write .: Is a directory'), \
            (['--out', 'x.ini'], 'cannot write to x.ini: Not a directory'), \
            (['--status-json', 'gone/s'], 'cannot write gone/s: No such file or directory'), \
            (['--status-json', '/dev/full'], 'cannot write /dev/full'):
        r = run('run', 'x.ini', *args)
        equal(r.returncode, 3, (args, r.stderr))
        has(r.stderr, 'uvmstress: ' + why)
    with open('/dev/full', 'wb') as full:
        for args in ['list'], ['--help'], ['check', 'x.ini']:
            r = run(*args, stdout=full)
            equal(r.returncode, 3, args)
            has(r.stderr, 'cannot write standard output')


@case
def a_full_disk_leaves_no_half_failure():
    job('violation')

    def no_bytes():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    r = run('run', 'x.ini', '--out', 'out', '--json', 'r.json', preexec_fn=no_bytes)
    equal(r.returncode, 3, r.stderr)
    has(r.stderr, 'cannot keep the failure in out: File too large')
    has(r.stderr, 'cannot write r.json: File too large')
    has(r.stdout, 'VIOLATION invariant')
    equal(os.listdir('out'), [])
    assert not os.path.exists('r.json')


@case
def check_refuses_a_broken_trace():
    write('t.uvmt', 'rubbish')
    write('x.ini', '[t]\nworkload = trace\ntrace = t.uvmt\n')
    r = run('check', 'x.ini')
    equal((r.returncode, r.stderr), (2, b'uvmstress: x.ini:1: [t]: t.uvmt: not a trace\n'))


@case
def list_shows_what_there_is():
    r = run('list')
    equal(r.returncode, 0)
    for part in 'workloads:', '  anon-fault ', 'counters:', 'faults.zero_fill', 'locks:', '  map ':
        has(r.stdout, part)
    j = json.loads(run('list', '--json').stdout)
    equal(set(j), {'workloads', 'checks', 'counters', 'locks', 'faults', 'bugs', 'global', 'daemon'})
    for topic in j.values():
        for entry in topic:
            assert entry['name'] and entry['help']
    names = [o['key'] for o in j['workloads'][0]['options']]
    equal(names[:5], ['threads', 'processes', 'weight', 'size', 'write-fraction'])
    for line in run('list', 'locks').stdout.decode().splitlines():
        assert re.match(r'\S+ +rank +\d+  (IPL \w+|event) +(never two|two by|a child|any number|several).*  \w', line), line
    row = {x['name']: x for x in j['locks']}['pmap']
    equal((row['rank'], row['ipl'], row['nesting']), (130, 'vm', 'never two'))


@case
def bench_puts_figures_beside_their_references():
    out = run('bench', 'fault', 'swap').stdout.decode()
    lines = out.splitlines()
    equal(lines[0], 'fault')
    equal(lines[1].split(), 'zero-fill faults 4.0M faults/s'.split())
    equal(lines[2].split(), 'host kernel 1.0M faults/s 4.00 times as good; at least 6.00: short'.split())
    equal(lines[3].split(), 'memset 8.0M faults/s 0.50 times it; at most 2.00: met'.split())
    equal(lines[4], 'swap')
    equal(lines[6].split(), 'host 2.0G bytes/s 0.50 times as good'.split())
    equal(lines[7:], ['1 of 2 targets met', 'short: fault: zero-fill faults, beside host kernel'])


@case
def bench_without_names_is_the_whole_table():
    j = json.loads(run('bench', '--quick', '--json', '-', env={**os.environ, 'PATH': '/nonexistent'}).stdout)
    equal((j['schema'], j['targets'], j['short']), ('uvmstress-bench/1', 4, 1))
    groups = list(dict.fromkeys(row['group'] for row in j['rows']))
    equal(groups, ['fault', 'scale', 'map', 'fork', 'swap', 'file', 'kernel-memory', 'data-movement', 'memory',
                   'pagedaemon', 'audit', 'interrupts', 'check', 'schedule'])
    row = j['rows'][0]
    equal(set(row), {'group', 'name', 'unit', 'value', 'least', 'most', 'turns', 'clock', 'references'})
    equal(row['references'][1], {'name': 'memset', 'value': 8e6, 'ratio': 0.5, 'ratio_least': 0.5, 'ratio_most': 0.5,
          'target': 2.0, 'target_is': 'at most so many times it', 'verdict': 'met'})
    equal(row['references'][0]['verdict'], 'short')


@case
def bench_audit_says_what_it_could_not_measure():
    env = {**os.environ, 'PATH': '/nonexistent', 'TMPDIR': os.getcwd()}
    r = run('bench', 'audit', '--quick', '--tsan', './gone', env=env)
    equal((r.returncode, r.stderr), (0, b''))
    lines = r.stdout.decode().splitlines()
    equal(lines[1].split(), 'page faults, audit=off 4.0k faults/CPU s, CPU time'.split())
    equal(lines[2].split(), 'page faults, audit=order 4.0k faults/CPU s, CPU time'.split())
    equal(lines[3].split(), 'audit=off 4.0k faults/CPU s 1.00 times as good; at least 0.90: met'.split())
    assert re.search(rb'page faults, helgrind +not measured: valgrind cannot be run', r.stdout), r.stdout
    has(r.stdout, 'not measured: setarch cannot be run')
    r = run('bench', 'audit', '--quick', '--json', '-', env=env)
    rows = {row['name']: row for row in json.loads(r.stdout)['rows']}
    equal(rows['page faults, TSan']['value'], None)
    has(rows['page faults, TSan']['note'], 'no build with ThreadSanitizer was given: --tsan PROGRAM')
    ref = rows['page faults, audit=full']['references'][0]
    equal((ref['ratio'], ref['target'], ref['verdict']), (1.0, 0.6, 'met'))
    has(rows['a little of everything, audit=off']['note'], 'ended with status 2 and no result')
    equal(os.listdir(), [])


@case
def trace_record_blames_the_host_for_a_missing_tool():
    r = run('trace', 'record', '-o', 'x', '--', 'ls', '-l')
    equal((r.returncode, r.stderr), (3, b'uvmstress: valgrind is not installed\n'))


main()
