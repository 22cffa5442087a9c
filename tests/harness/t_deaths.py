# SPDX-License-Identifier: BSD-2-Clause
"""However a run dies, what it leaves is whole: a failure's directory or none, and no scratch."""

import ctypes
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time

import harness
from harness import PATIENCE, case, equal, has, write

SMALL = ('[global]\ncpus = 4\nmemory = 16M\nswap = 32M\ntime = 10m\n'
         '[a]\nworkload = anon-fault\nsize = 4M\nthreads = 4\n'
         '[b]\nworkload = cow-fork\nsize = 1M\n')


def start(*args, preload=None, **kw):
    write('a.ini', SMALL)
    os.makedirs('tmp', exist_ok=True)
    env = dict(os.environ, TMPDIR=os.path.abspath('tmp'), **(preload or {}))
    return subprocess.Popen([harness.binary, 'run', 'a.ini', '--out', 'out', '--quiet', *args],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, env=env, **kw)


def tasks(p):
    return os.listdir(f'/proc/{p.pid}/task')


def up(p):
    """Waits until the machine runs: its workers are there."""
    while True:
        if p.poll() is not None:
            raise AssertionError(f'it ended by itself, status {p.returncode}')
        names = []
        for task in tasks(p):
            try:
                names.append(open(f'/proc/{p.pid}/task/{task}/comm').read().strip())
            except OSError:
                pass
        if {'a.0', 'b.0'} <= set(names):
            return
        time.sleep(0.01)


def failures():
    """Every directory under out, which must be whole; their results."""
    found = []
    for name in sorted(os.listdir('out')) if os.path.isdir('out') else []:
        here = os.path.join('out', name)
        if name.startswith('.'):
            continue
        files = set(os.listdir(here))
        missing = {'report.txt', 'result.json', 'profile.ini'} - files
        assert not missing, f'{here} has no {missing}: {files}'
        with open(os.path.join(here, 'result.json')) as f:
            found.append(json.load(f))
        has(open(os.path.join(here, 'report.txt')).read(), 'again    ')
    return found


def scratch():
    """What a run has left that is no failure."""
    left = os.listdir('tmp')
    if os.path.isdir('out'):
        left += [n for n in os.listdir('out') if n.startswith('.')]
    return left


def sanitized():
    with open(harness.binary, 'rb') as f:
        data = f.read()
    return b'__asan_init' in data or b'__tsan_init' in data


@case
def kill_9_at_any_moment_leaves_no_scratch_and_nothing_half():
    rng = random.Random(1)
    for _ in range(15):
        p = start()
        time.sleep(rng.uniform(0, 0.4))
        p.kill()
        p.wait()
        failures()
        equal(os.listdir('tmp'), [], 'swap files')
    start('--time', '100ms').wait()		# sweeps
    equal(scratch(), [])


@case
def a_crash_is_reported_with_stack_events_and_command():
    if sanitized():
        return
    for sig in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGABRT):
        p = start()
        up(p)
        p.send_signal(sig)
        equal(p.wait(PATIENCE), 1, f'status after {sig}')
    found = failures()
    equal(len(found), 4)
    for result in found:
        v = result['violations'][0]
        equal(v['kind'], 'crash')
        assert len(v['stack']) > 2 and len(v['events']) > 4, (v['stack'], len(v['events']))
    text = open('out/0001/report.txt').read()
    for part in ('Segmentation fault', '--seed', 'LWP ', 'The last events of each CPU'):
        has(text, part)
    equal(scratch(), [])


def catches(pid, sig):
    with open(f'/proc/{pid}/status') as f:
        return int(re.search(r'^SigCgt:\s*([0-9a-f]+)', f.read(), re.M).group(1), 16) >> (sig - 1) & 1


def worker(p, sig):
    """=> the process of one that makes executions, and has seen to the signal if that can be."""
    while True:
        if p.poll() is not None:
            raise AssertionError(f'it ended by itself, status {p.returncode}')
        with open(f'/proc/{p.pid}/task/{p.pid}/children') as f:
            pids = f.read().split()
        for pid in pids:
            try:
                if len(os.listdir(f'/proc/{pid}/task')) > 4 and (sig == signal.SIGKILL or catches(pid, sig)):
                    return int(pid)
            except OSError:
                pass
        time.sleep(0.01)


def message_after(sig):
    # the first execution has not ended when the signal comes, nor does it ever
    p = start('--schedule', 'random', '--time', '8760h', '--iterations', '2', '--json', 'r.json', '--seed', '1')
    os.kill(worker(p, sig), sig)
    equal(p.wait(PATIENCE), 1, f'status after {sig}')
    with open('r.json') as f:
        (v,) = json.load(f)['violations']
    equal((v['kind'], v['id']), ('crash', 'worker'))
    return v['message']


@case
def a_worker_that_the_host_kills_is_told_with_its_seed():
    m = message_after(signal.SIGKILL)
    assert re.fullmatch(r'the worker of seed [1-9][0-9]* ended by signal 9', m), m


@case
def the_last_words_of_a_worker_are_kept_and_told():
    m = message_after(signal.SIGALRM)
    words = re.fullmatch(r'the worker of seed ([1-9][0-9]*) ended by status 1; its last words: (.+?): (.+)', m)
    assert words, m
    kept = [result['violations'][0]['message'] for result in failures()]
    assert f'seed {words.group(1)}: {words.group(3)}' in kept, kept


@case
def term_and_int_end_a_run_cleanly_and_twice_at_once():
    for sig in (signal.SIGTERM, signal.SIGINT):
        p = start()
        up(p)
        p.send_signal(sig)
        equal(p.wait(PATIENCE), 0)
    p = start()
    up(p)
    p.send_signal(signal.SIGTERM)
    p.send_signal(signal.SIGTERM)
    p.wait(PATIENCE)
    equal(failures(), [])
    equal(scratch(), [])


@case
def a_full_disk_leaves_no_half_failure():
    if sanitized():
        return
    # A file may grow to so many bytes: some of the report's files do not fit, others would.
    for limit in (0, 512, 4096, 10000):
        p = start(preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                      resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
                  *('--swap', '0'))
        try:
            up(p)
        except AssertionError:
            p.wait()
            continue
        p.send_signal(signal.SIGSEGV)
        assert p.wait(PATIENCE) in (1, 3), p.returncode
        found = failures()		# what is there is whole
        assert limit > 512 or found == [], f'with a limit of {limit} bytes: {found}'
        equal(scratch(), [])


def dies(at, how, *args):
    """A run that crashes, and whose report then ends like that at its at-th point; its status."""
    p = start(*args, preload={'LD_PRELOAD': DIES, 'DIES_AT': str(at), 'DIES_HOW': how})
    up(p)
    p.send_signal(signal.SIGSEGV)
    status = p.wait(PATIENCE)
    if os.path.exists('died'):
        os.remove('died')
    else:
        assert how == 'kill', f'the report does not come to point {at}'
    return status


@case
def a_kill_at_any_point_of_the_report_leaves_it_whole_or_absent():
    if sanitized():
        return
    at, whole = 1, []
    while True:
        status = dies(at, 'kill')
        whole.append(len(failures()))
        if status != -signal.SIGKILL:
            break
        at += 1
    equal(status, 1, 'status of a report that nobody disturbed')
    assert at > 8, f'the report has {at - 1} points only'
    assert whole == sorted(whole) and whole[0] == 0 and whole[-1] > 0, f'failures after each: {whole}'
    start('--time', '100ms').wait()		# sweeps
    equal(scratch(), [])


@case
def a_crash_of_the_report_itself_ends_in_last_words_or_nothing():
    if sanitized():
        return
    for at in (1, 2, 3, 5, 8):
        status = dies(at, 'crash')
        assert status == 1, f'status {status} of a report that crashed at point {at}'
        found = failures()
        assert found and found[-1]['violations'][0]['kind'] == 'crash', f'point {at}: {found}'
    equal(scratch(), [])


@case
def a_disk_that_is_full_from_some_point_on_leaves_no_half_failure():
    if sanitized():
        return
    for at in (1, 2, 4, 7):
        status = dies(at, 'full')
        assert status in (1, 3), f'status {status} with a disk that is full at point {at}'
        failures()
        equal(scratch(), [], f'point {at}')


def lasting(p):
    """The threads that live as long as the run: one that ends takes its signal with it."""
    tids = []
    for task in tasks(p):
        try:
            if open(f'/proc/{p.pid}/task/{task}/comm').read().strip() != 'visit':
                tids.append(int(task))
        except OSError:
            pass
    return sorted(tids)


@case
def a_crash_of_any_thread_at_any_moment_is_reported_or_leaves_nothing():
    if sanitized():
        return
    rng = random.Random(2)
    libc = ctypes.CDLL(None)
    for _ in range(10):
        p = start('--set', 'global.audit=full')
        up(p)
        time.sleep(rng.uniform(0, 0.1))		# where it is then is not for us to say
        tids = lasting(p)
        before = len(failures())
        equal(libc.tgkill(p.pid, rng.choice(tids), signal.SIGSEGV), 0, 'tgkill()')
        equal(p.wait(PATIENCE), 1, 'status')
        equal(len(failures()), before + 1)
    equal(scratch(), [])


def in_a_full_file_system(size):
    """In a mount name space of its own, as root: out/ has so many bytes."""
    os.makedirs('out')
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'none', 'out'],
                      stderr=subprocess.DEVNULL).returncode != 0:
        sys.exit(77)
    p = start()
    try:
        up(p)
    except AssertionError:
        equal(p.wait(), 3, 'status of a run that cannot begin')
        sys.exit(0)
    p.send_signal(signal.SIGSEGV)
    assert p.wait(PATIENCE) in (1, 3), p.returncode
    failures()
    equal(scratch(), [])


@case
def a_full_file_system_leaves_no_half_failure():
    if sanitized():
        return
    for size in (4096, 12288, 20480, 40960, 65536, 1 << 20):
        os.makedirs(f'of{size}')
        try:
            r = subprocess.run(['unshare', '-m', sys.executable, __file__, harness.binary, DIES, '--full', str(size)],
                               cwd=f'of{size}', stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
        except FileNotFoundError:
            r = subprocess.CompletedProcess([], 77)
        if r.returncode in (1, 77) and size == 4096 and b'Traceback' not in (r.stdout or b''):
            print('# skipped: no mount name space of our own')
            return
        equal(r.returncode, 0, (r.stdout or b'').decode(errors='replace'))


def alive(pid):
    """Zombies, which wait for somebody to ask for them, are not."""
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as f:
            return f.read().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


@case
def workers_do_not_outlive_their_run():
    """Nor what a museum's cell has started, when the cell is killed: there is nobody left to end them."""
    for signals in (signal.SIGKILL,), (signal.SIGTERM, signal.SIGTERM):
        p = start('--schedule', 'random', '--time', '8760h', '--iterations', '2')
        workers = []
        while not workers:
            assert p.poll() is None, p.returncode
            with open(f'/proc/{p.pid}/task/{p.pid}/children', encoding='ascii') as f:
                workers = f.read().split()
            time.sleep(0.01)
        for sig in signals:
            p.send_signal(sig)
            time.sleep(0.2)
        p.wait(PATIENCE)
        until = time.monotonic() + 60
        while any(alive(w) for w in workers):
            assert time.monotonic() < until, f'{workers} go on after {signals}'
            time.sleep(0.01)


@case
def what_a_dead_run_left_is_swept_and_what_lives_is_not():
    os.makedirs('out/0001')
    dead = subprocess.Popen(['true'])
    dead.wait()
    for where in (f'out/.{dead.pid}.tmp', f'out/.{dead.pid}.last.tmp', f'out/.{os.getpid()}.tmp'):
        os.makedirs(where)
        write(f'{where}/report.txt', 'half')
    for name in ('report.txt', 'result.json', 'profile.ini'):
        write(f'out/0001/{name}', 'again    {}' if name == 'report.txt' else '{}')
    write(f'out/0001/report.txt.{dead.pid}.tmp', 'half')
    write(f'r.json.{dead.pid}.tmp', 'half')
    write('r.json.notes.tmp', 'somebody else')
    assert start('--time', '100ms', '--json', 'r.json').wait(PATIENCE) in (0, 4)	# 4: proved nothing
    equal(sorted(os.listdir('out')), [f'.{os.getpid()}.tmp', '0001'])
    equal(sorted(os.listdir('out/0001')), ['profile.ini', 'report.txt', 'result.json'])
    equal(sorted(n for n in os.listdir('.') if n.startswith('r.json')), ['r.json', 'r.json.notes.tmp'])


@case
def a_full_disk_under_a_job_is_3_with_its_place():
    write('x.ini', '[global]\nswap = 0\ntime = 1s\n[f]\nworkload = file-map\nfile-size = 1M\n')

    def few_bytes():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))
    r = harness.run('run', 'x.ini', preexec_fn=few_bytes)
    equal(r.returncode, 3, r.stderr)
    has(r.stderr, 'uvmstress: [f]: cannot write its files in $TMPDIR (or /tmp): File too large')


if __name__ == '__main__':
    DIES = os.path.abspath(sys.argv.pop(2))
    __file__ = os.path.abspath(__file__)
    if sys.argv[2:3] == ['--full']:
        harness.binary = sys.argv[1]
        in_a_full_file_system(int(sys.argv[3]))
    else:
        harness.main()
