# SPDX-License-Identifier: BSD-2-Clause
"""Short runs of the real engine: what becomes of processes that find no memory, and of
runs that prove nothing."""

import json

from harness import case, equal, has, main, run, write

ANON = '[a]\nworkload = anon-fault\nprocesses = 3\nthreads = 6\nsize = 4M\n'


def job(settings):
    write('x.ini', '[global]\ncpus = 2\nseed = 1\n' + settings + '\n' + ANON)


@case
def processes_that_find_no_memory_are_killed_and_replaced():
    job('memory = 6M\novercommit = on\nops = 2000')
    r = run('run', 'x.ini', '--json', '-', '--quiet')
    equal(r.returncode, 0, r.stderr)
    result = json.loads(r.stdout)
    assert result['jobs'][0]['killed'] > 0, result['jobs']
    assert result['jobs'][0]['bytes_verified'] > 0, result['jobs']
    equal(result['violations'], [])


@case
def swap_takes_what_memory_cannot_hold():
    job('memory = 6M\nswap = 32M\nops = 3000\nrequire = uvmexp.pgswapout uvmexp.pgswapin')
    r = run('run', 'x.ini', '--json', '-', '--quiet')
    equal(r.returncode, 0, r.stderr)
    equal(json.loads(r.stdout)['jobs'][0]['killed'], 0)


@case
def a_swap_directory_that_is_not_there_is_the_hosts_limit():
    job('memory = 6M\nswap = 32M\nswap-dir = /nonexistent/here\nops = 10')
    r = run('run', 'x.ini')
    equal(r.returncode, 3)
    has(r.stderr, 'swap in /nonexistent/here: No such file')


@case
def jobs_larger_than_memory_need_overcommit():
    job('memory = 6M\ntime = 500ms')
    r = run('run', 'x.ini')
    equal(r.returncode, 2)
    has(r.stderr, 'memory = 6M')


@case
def a_job_draws_from_the_operations_that_it_names():
    def forks(operations):
        write('x.ini', '[global]\ncpus = 1\nmemory = 16M\nops = 20\nseed = 1\n[cow]\nworkload = cow-fork\n'
              f'size = 64K\noperations = {operations}\n')
        r = run('run', 'x.ini', '--json', '-', '--quiet')
        result = json.loads(r.stdout)
        equal(result['violations'], [])
        return result['uvmexp']['forks']
    equal(forks('touch:3 count'), 0)
    assert forks('fork') >= 20
    assert 0 < forks('fork:1 touch:1') < forks('fork:30 touch:1')


@case
def limits_are_set_and_refuse():
    write('x.ini', '[global]\ncpus = 1\nseed = 1\nmemory = 16M\nops = 300\n'
          'require = uvmexp.lim_as uvmexp.lim_memlock uvmexp.lim_stack\n'
          '[cow]\nworkload = cow-fork\noperations = touch:5 fork vfork:5\nsize = 64K\n'
          '[chaos]\nworkload = chaos\nthreads = 2\nsize = 256K\n'
          'operations = load:5 mmap:10 munmap wire:20 debug:3 limit:2\n')
    r = run('run', 'x.ini', '--json', '-', '--quiet')
    equal(r.returncode, 0, r.stdout + r.stderr)


@case
def steps_say_which_operations_take_place():
    def forks(steps):
        write('x.ini', '[global]\ncpus = 2\nmemory = 16M\nops = 8\nseed = 1\n[cow]\nworkload = cow-fork\n'
              f'threads = 2\nsize = 64K\noperations = fork\nsteps = {steps}\n')
        result = json.loads(run('run', 'x.ini', '--json', '-', '--quiet', '--schedule', 'random').stdout)
        equal(result['violations'], [])
        return result['uvmexp']['forks'], result['jobs'][0]['operations']
    every, ops = forks('all')
    equal(forks('0:0-7 1:0-7'), (every, 16))
    (none, _), (one, _), (other, _), (some, ops) = map(forks, ('9:0', '0:3', '1:5-6', '0:3 1:5-6'))
    equal((none, ops), (0, 16))
    assert 0 < one < some < every and some == one + other, (one, other, some, every)


@case
def a_required_counter_that_stays_0_makes_the_run_vacuous():
    job('memory = 32M\nops = 50\nrequire = faults.total uvmexp.fileread_pages')
    r = run('run', 'x.ini')
    equal(r.returncode, 4)
    has(r.stdout + r.stderr, 'uvmexp.fileread_pages')


@case
def an_unknown_required_counter_is_refused():
    for name in 'faults.cows', 'cow', 'uvmexp.', '.cow':
        job(f'memory = 32M\nops = 50\nrequire = {name}')
        r = run('run', 'x.ini')
        equal(r.returncode, 2, name)
        has(r.stderr, 'no counter is called')


@case
def the_whole_machine_is_checked_during_a_run():
    def rounds(interval):
        job(f'memory = 6M\nswap = 32M\nops = 20000\ncheck-interval = {interval}')
        r = run('run', 'x.ini', '--cpus', '1', '--json', '-', '--quiet')    # time is virtual
        equal(r.returncode, 0, r.stderr)
        result = json.loads(r.stdout)
        return {c['id']: c['runs'] for c in result['checks']}
    often, never = rounds('20ms'), rounds('0')
    assert often['I-PG-4'] > 3, often
    equal(often['I-PG-4'], often['I-PG-16'])
    equal(rounds('20ms'), often)
    equal(never['I-PG-4'], 1)


@case
def bugs_have_names():
    job('memory = 32M\nops = 50')
    r = run('run', 'x.ini', '--bug', 'free-at-once,any')
    equal(r.returncode, 2)
    has(r.stderr, "there is no bug of the name 'any'")
    has(run('list', 'bugs').stdout, '\nfree-at-once ')
    equal(run('run', 'x.ini', '--bug', 'none').returncode, 0)


@case
def an_audit_shows_the_order_of_a_run():
    job('memory = 6M\nswap = 32M\nops = 2000')
    r = run('audit', 'x.ini', '--json', 'g.json')
    equal(r.returncode, 0, r.stderr)
    with open('g.json') as f:
        j = json.load(f)
    equal((j['violations'], j['lost'], j['runs'][0]['name']), ([], 0, 'x'))
    taken = {lock['class']: lock for lock in j['locks']}
    for name in 'map', 'amap', 'anon', 'pageq', 'pmap', 'pv':
        assert taken[name]['acquisitions'] > 0, name
    assert taken['page-busy:anon']['kind'] == 'event'
    edges = {(e['from'], e['to']): e for e in j['edges'] if e['kind'] == 'order'}
    edge = edges['map', 'amap']
    names = [j['traces'][edge[end]][0][2] for end in ('from_trace', 'to_trace')]
    assert names == [None, None] or all('(' in name for name in names), names    # None: no libdw
    assert ('amap', 'map') not in edges
    assert len(j['sites']) > 20
    has(r.stdout, ' known edges (')
    has(r.stdout, 'swap_syscall -> ')          # not exercised; by whom


@case
def audit_order_sees_no_waits_and_off_sees_nothing():
    job('memory = 16M\nops = 200')
    r = run('audit', '-q', 'x.ini', '--audit', 'order', '--json', 'g.json')
    equal(r.returncode, 0, r.stderr)
    with open('g.json') as f:
        equal([e for e in json.load(f)['edges'] if e['kind'] != 'order'], [])
    r = run('audit', '-q', 'x.ini', '--audit', 'off')
    equal(r.returncode, 2)
    has(r.stderr, 'the run was not audited')


main()
