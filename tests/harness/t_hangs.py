# SPDX-License-Identifier: BSD-2-Clause
"""A hung LWP, a hung page daemon and a lost wakeup: the run ends, and says who waits for whom."""

import json
import os
import re
import sys

import harness
from harness import case, equal, has, write

LIMIT = '3s'
FOREVER = 'ns=600000000000'		# ten minutes in one place


def hang(name, profile, *args):
    """=> the violation of the watchdog, and the whole report"""
    write('a.ini', profile)
    run = harness.run('run', 'a.ini', '--quiet', '--out', 'out', *args)
    equal(run.returncode, 1, run.stderr.decode(errors='replace')[-2000:])
    with open('out/0001/result.json') as f:
        found = [v for v in json.load(f)['violations'] if v['kind'] == 'hang']
    equal([v['id'] for v in found], ['watchdog'], name)
    return found[0], open('out/0001/report.txt').read()


def matches(pattern, text):
    assert re.search(pattern, text), f'{pattern!r} is not in {text!r}'


GLOBAL = f'[global]\ncpus = 4\nseed = 1\ntime = 1h\nhang-limit = {LIMIT}\n'


@case
def a_hung_LWP_is_named_with_those_who_wait_for_it():
    v, report = hang('LWP', GLOBAL + 'memory = 16M\n[a]\nworkload = anon-fault\nsize = 1M\nthreads = 4\nprocesses = 1\n',
                     '--inject', f'pte-delay:times=1,after=100,{FOREVER},stack=uvmfault_internal')
    matches(r'waits for \S+ \d+ of a\.\d+, who .*runs on CPU \d', v['message'])
    has(' '.join(v['stack']), 'uvmfault_internal')
    has(report, 'holds map ')
    matches(r'hangs: a\.\d', report)


@case
def a_hung_page_daemon_is_named_by_who_waits_for_memory():
    v, report = hang('page daemon', GLOBAL + 'memory = 8M\nswap = 32M\n'
                     '[a]\nworkload = swap-churn\nsize = 16M\nthreads = 4\n',
                     '--inject', f'io-delay:times=1,after=20,{FOREVER},stack=uvmpd_main')
    matches(r'pgdaemon, who runs on CPU \d|pgdaemon runs on CPU \d', v['message'])
    has(' '.join(v['stack']), 'uvmpd_main')
    matches(r'hangs: .*waits for memory, for .* pgdaemon, who runs on CPU', report)


@case
def a_lost_wakeup_is_told_with_who_sleeps_and_for_what():
    write('b.ini', '[a]\nworkload = anon-fault\n')
    if b'-Dbugs=true' in harness.run('run', 'b.ini', '--bug', 'wanted-lost', '--ops', '1').stderr:
        print('# skipped: a build without bugs')
        return
    v, report = hang('lost wakeup', open(PROFILE).read(), '--bug', 'wanted-lost', '--set',
                     f'global.hang-limit={LIMIT}', '--set', 'global.check-interval=0',
                     '--set', 'global.check-depth=0', '--time', '1h')
    matches(r"waits for memory, for '\w+' pgdaemon, who waits for work in 'pgdaemon'", v['message'])
    has(report, 'waits for memory')


if '--skip' in sys.argv:
    print('1..0 # SKIP ThreadSanitizer keeps signals back')
    sys.exit(0)
PROFILE = os.path.abspath(sys.argv.pop(2))
harness.main()
