# SPDX-License-Identifier: BSD-2-Clause
"""Broken job files: each is answered by its own line, with file, line, key and mend, and
exit status 2; nothing runs.  Whole ones mean what they say."""

import json
import os
import sys

import harness
from harness import case, equal, has, main, run, write

JOB = '[a]\nworkload = anon-fault\n'

# claim: (contents, the line after "uvmstress: ")
broken = {
    'empty_file': ('', 'x.ini: no jobs; add a section such as [clients] with workload = anon-fault'),
    'only_global': ('[global]\ncpus = 2\n', 'x.ini: no jobs; add a section'),
    'unknown_global_key_near': ('[global]\ncpu = 4\n' + JOB,
        "x.ini:2: cpu: no such key in [global]; did you mean 'cpus'?"),
    'unknown_global_key_far': ('[global]\nfrobnicate = 4\n' + JOB,
        'x.ini:2: frobnicate: no such key in [global]; allowed are: cpus memory swap '),
    'job_key_in_global': ('[global]\nwrite-fraction = 1\n' + JOB,
        'x.ini:2: write-fraction: no such key in [global]; allowed are: cpus'),
    'unknown_job_key_near': (JOB + 'tread = 2\nthread = 2\n',
        "x.ini:3: tread: no such key for workload anon-fault; did you mean 'threads'?"),
    'unknown_job_key_far': (JOB + 'colour = red\n',
        'x.ini:3: colour: no such key for workload anon-fault; allowed are: workload threads processes '
        'weight size write-fraction operations'),
    'common_key_without_meaning': ('[a]\nworkload = trace\ntrace = x.uvmt\nsize = 1M\n',
        'x.ini:4: size: means nothing to workload trace; allowed are: workload weight trace'),
    'unknown_workload_near': ('[a]\nworkload = anon-falt\n',
        "x.ini:2: workload = anon-falt: no such workload; did you mean 'anon-fault'?"),
    'unknown_workload_far': ('[a]\nworkload = doom\n',
        'x.ini:2: workload = doom: no such workload; allowed are: anon-fault'),
    'two_jobs_where_one_may_be': ('[a]\nworkload = device-map\n[b]\nworkload = device-map\n',
        'x.ini:4: workload = device-map: there is one frame buffer, and [a] has it: give that more threads or processes'),
    'missing_workload': ('[global]\n\n[a]\nthreads = 2\n',
        'x.ini:3: [a]: the key workload is missing; allowed are: anon-fault'),
    'cpus_zero': ('[global]\ncpus = 0\n' + JOB,
        'x.ini:2: cpus = 0: must be a whole number, 1 to 256'),
    'cpus_too_many': ('[global]\ncpus = 257\n' + JOB,
        'x.ini:2: cpus = 257: must be a whole number, 1 to 256'),
    'cpus_negative': ('[global]\ncpus = -1\n' + JOB,
        'x.ini:2: cpus = -1: must be a whole number, 1 to 256'),
    'cpus_overflows': ('[global]\ncpus = 18446744073709551617\n' + JOB,
        'x.ini:2: cpus = 18446744073709551617: must be a whole number, 1 to 256'),
    'number_with_rubbish': ('[global]\nops = 10x\n' + JOB,
        'x.ini:2: ops = 10x: must be a whole number, 0 or more'),
    'number_hexadecimal': ('[global]\nseed = 0x10\n' + JOB,
        'x.ini:2: seed = 0x10: must be a whole number, 0 or more'),
    'size_bad_unit': ('[global]\nmemory = 64Q\n' + JOB,
        'x.ini:2: memory = 64Q: must be a size such as 64K, 8M or 1G, 1M to 64G, a multiple of 4K'),
    'size_with_point': ('[global]\nmemory = 1.5G\n' + JOB,
        'x.ini:2: memory = 1.5G: must be a size such as 64K'),
    'size_not_whole_pages': ('[global]\nmemory = 5000001\n' + JOB,
        'x.ini:2: memory = 5000001: must be a size such as 64K, 8M or 1G, 1M to 64G, a multiple of 4K'),
    # 2^44 + 64: modulo 2^64 this would be 64M, which is allowed
    'size_overflows': ('[global]\nmemory = 17592186044480M\n' + JOB,
        'x.ini:2: memory = 17592186044480M: must be a size'),
    'duration_without_unit': ('[global]\ntime = 30\n' + JOB,
        'x.ini:2: time = 30: must be a duration such as 500ms, 60s, 10m or 4h, 0 to 8760h'),
    'duration_bad_unit': ('[global]\ntime = 3 weeks\n' + JOB,
        'x.ini:2: time = 3 weeks: must be a duration'),
    'operation_unknown': (JOB + 'operations = touch fork\n',
        "x.ini:3: operations = touch fork: workload anon-fault has no operation 'fork'; it has touch"),
    'operation_twice': (JOB + 'operations = touch touch:2\n',
        'x.ini:3: operations = touch touch:2: touch is there twice'),
    'operation_without_share': (JOB + 'operations = touch:0\n',
        'x.ini:3: operations = touch:0: the share of touch must be a number from 1 to 1000000'),
    'operation_share_no_number': (JOB + 'operations = touch:2x\n',
        'x.ini:3: operations = touch:2x: the share of touch must be a number'),
    'steps_wrong': (JOB + 'steps = 0:3-1\n', "x.ini:3: steps = 0:3-1: must be 'all', or WORKER:N,N-M,"),
    'steps_of_nobody': (JOB + 'steps = 3-7\n', "x.ini:3: steps = 3-7: must be 'all', or WORKER:N,N-M,"),
    'steps_run_on': (JOB + 'steps = 0:1,2 1:3x\n', 'x.ini:3: steps = 0:1,2 1:3x: must be'),
    'fraction_above_one': (JOB + 'write-fraction = 1.5\n',
        'x.ini:3: write-fraction = 1.5: must be a fraction, 0 to 1'),
    'fraction_not_a_number': (JOB + 'write-fraction = nan\n',
        'x.ini:3: write-fraction = nan: must be a fraction, 0 to 1'),
    'bool_wrong': ('[global]\nfault-ahead = maybe\n' + JOB,
        'x.ini:2: fault-ahead = maybe: must be on or off'),
    'enum_near': ('[global]\nmmu = hardware-mr\n' + JOB,
        "x.ini:2: mmu = hardware-mr: must be hardware-rm or software-rm; did you mean 'hardware-rm'?"),
    'enum_far': ('[global]\nmmu = none\n' + JOB,
        'x.ini:2: mmu = none: must be hardware-rm or software-rm'),
    'no_value': ('[global]\ncpus =   ; four\n' + JOB, 'x.ini:2: cpus: has no value after the ='),
    'no_equals': ('[global]\ncpus 4\n' + JOB,
        "x.ini:2: 'cpus 4': neither KEY = VALUE nor a [section]"),
    'no_key': ('[global]\n= 4\n' + JOB, "x.ini:2: '': not a key; keys are letters, digits and -"),
    'key_with_blank': ('[global]\nc pus = 4\n' + JOB,
        "x.ini:2: 'c pus': not a key; keys are letters, digits and -"),
    'key_outside_section': ('cpus = 4\n' + JOB,
        'x.ini:1: cpus: outside any section; machine keys belong under [global], others under a '
        "job's [name]"),
    'duplicate_key': ('[global]\ncpus = 4\nmemory = 64M\ncpus = 4\n' + JOB,
        'x.ini:4: cpus: duplicate key in [global], first at x.ini:2'),
    'duplicate_job_key': (JOB + 'threads = 1\nthreads = 2\n',
        'x.ini:4: threads: duplicate key in [a], first at x.ini:3'),
    'duplicate_workload': (JOB + 'workload = file-map\n',
        'x.ini:3: workload: duplicate key in [a], first at x.ini:2'),
    'duplicate_section': (JOB + JOB, 'x.ini:3: [a]: duplicate section, first at x.ini:1'),
    'duplicate_global': ('[global]\n[global]\n' + JOB, 'x.ini:2: [global]: duplicate section'),
    'unterminated_header': ('[global\ncpus = 4\n' + JOB, 'x.ini:1: [global: section header without its ]'),
    'text_after_header': ('[global] cpus = 4\n' + JOB,
        'x.ini:1: text after the section header [global]; only a comment may follow'),
    'empty_section_name': ('[ ]\n', 'x.ini:1: []: a section name is letters, digits and - _ . +'),
    'bad_section_name': ('[a b]\n', 'x.ini:1: [a b]: a section name is letters'),
    'long_section_name': ('[' + 'n' * 65 + ']\n', 'x.ini:1: section name of 65 bytes; at most 64 are allowed'),
    'nul_byte': (b'[global]\ncpus = 4\0\n', 'x.ini:2: NUL byte at column 9; job files are text'),
    'control_byte': (b'[global]\ncpus = \x1b[31m4\n',
        'x.ini:2: control character 0x1b at column 8; job files are text'),
    'overlong_line': ('; ' + 'x' * 1000 + '\n', 'x.ini:1: line of 1002 bytes; at most 1000 are allowed'),
    'too_large_a_file': (';\n' * 600000, 'x.ini: larger than 1048576 bytes; this is not a job file'),
    'too_many_keys': ('[a]\n' + ''.join(f'k{i} = 1\n' for i in range(101)),
        'x.ini:102: k100: too many keys in [a], at most 100 are allowed'),
    'too_many_jobs': (''.join(f'[j{i}]\n' for i in range(257)),
        'x.ini:257: [j256]: too many jobs, at most 256 are allowed'),
    'trace_not_given': ('[a]\nworkload = trace\n',
        'x.ini:1: [a]: the key trace is missing; workload trace needs it'),
    'trace_missing': ('[a]\nworkload = trace\ntrace = gone.uvmt\n',
        'x.ini:3: trace = gone.uvmt: cannot read gone.uvmt: No such file or directory'),
    'trace_name_too_long': ('[a]\nworkload = trace\ntrace = ' + 'x' * 901 + '\n',
        'x.ini:3: trace = ' + 'x' * 100 + ': must be a file name, 900 bytes at most'),
    'trace_is_a_directory': ('[a]\nworkload = trace\ntrace = /\n',
        'x.ini:3: trace = /: cannot read /: not a regular file'),
    'fewer_threads_than_processes': (JOB + 'threads = 2\nprocesses = 3\n',
        "x.ini:3: threads = 2: must be at least the job's processes (3), so that each has a worker"),
    'memory_too_small': ('[global]\nmemory = 8M\n' + JOB + 'size = 4M\nprocesses = 4\n',
        'x.ini:2: memory = 8M: too small, the jobs need at least '),
    'default_memory_too_small': (JOB + 'size = 1G\n',
        'x.ini: memory = 64M (default): too small, the jobs need at least '),
    'swap_is_a_size': ('[global]\nswap = lots\n' + JOB,
        'x.ini:2: swap = lots: must be '),
    'schedule_is_unknown': ('[global]\nschedule = pcd\n' + JOB,
        'x.ini:2: schedule = pcd: must be free, mix, random, pos, direct, pct, pct:1, '),
    'signals_under_control': ('[global]\nschedule = pct\ninterrupts = signal\n' + JOB,
        'x.ini:3: interrupts = signal: not with a controlled schedule, which could not repeat it: say '
        'interrupts = poll'),
    'direct_to_nowhere': ('[global]\nschedule = direct\n' + JOB, 'schedule = direct: to which deadlock?'),
    'circle_without_end': ('[global]\nschedule = direct\nschedule-circle = amap>map\n' + JOB,
        'x.ini:3: schedule-circle = amap>map: must be names of lock classes, the first one again at the end'),
    'circle_of_nothing': ('[global]\nschedule = direct\nschedule-circle = amap>>amap\n' + JOB,
        'x.ini:3: schedule-circle = amap>>amap: must be '),
    'circle_when_free': ('[global]\nschedule-circle = amap>map>amap\n' + JOB,
        'x.ini:2: schedule-circle = amap>map>amap: not with schedule = free'),
    'circle_unseen': ('[global]\nschedule = pos\naudit = off\nschedule-circle = amap>map>amap\n' + JOB,
        'x.ini:4: schedule-circle = amap>map>amap: not with audit = off'),
}


def breaks(name, contents, line):
    def fn():
        write('x.ini', contents)
        for command in 'check', 'run':
            r = run(command, 'x.ini')
            equal(r.stdout, b'', 'standard output')
            err = r.stderr.decode()
            assert err.startswith('uvmstress: ' + line), f'{command} says {err!r}, want {line!r}'
            equal(err.count('\n'), 1, 'lines')
            equal(r.returncode, 2, 'exit status')
    fn.__name__ = name
    case(fn)


for name, (contents, line) in broken.items():
    breaks(name, contents, line)


def profile(*args):
    """The effective profile as {(section, key): value}, without the origins."""
    r = run('check', *args)
    equal((r.returncode, r.stderr), (0, b''), 'check')
    values, section = {}, None
    for text in r.stdout.decode().splitlines():
        if text.startswith('['):
            section = text.strip('[]')
        elif ' = ' in text and not text.startswith(';'):
            key, value = text.split(' = ', 1)
            values[section, key] = value.split(' ; ')[0].strip()
    return values


@case
def comments_blanks_and_line_ends_do_not_matter():
    write('x.ini', b'\xef\xbb\xbf# all kinds\r\n\r\n [ global ] ; machine\r\n'
                   b'cpus=8;no comment without a blank before it\r\n')
    has(run('check', 'x.ini').stderr, 'x.ini:4: cpus = 8;no comment')
    write('x.ini', b'\xef\xbb\xbf# all kinds\r\n\r\n [ global ] ; machine\r\n\tcpus=8 ;eight\r\n'
                   b'[a]#x\r\nworkload = anon-fault')
    has(run('check', 'x.ini').stderr, 'text after the section header')
    write('x.ini', b'\xef\xbb\xbf# all kinds\r\n\r\n [ global ] ; machine\r\n\tcpus=8 ;eight\r\n'
                   b'[a] #x\r\nworkload = anon-fault')
    equal(profile('x.ini')['global', 'cpus'], '8')


@case
def every_unit_is_read_and_written_back():
    for text, back in ('64K', '64K'), ('1024K', '1M'), ('2m', '2M'), ('12288', '12K'), ('1G', '1G'):
        write('x.ini', '[global]\nmemory = 4G\n' + JOB + f'size = {text}\n')
        equal(profile('x.ini')['a', 'size'], back)
    for text, back in ('500ms', '500ms'), ('60s', '1m'), ('10m', '10m'), ('4h', '4h'), ('0', '0'), \
            ('1500ms', '1500ms'), ('90s', '90s'), ('250us', '250us'):
        write('x.ini', f'[global]\ntime = {text}\n' + JOB)
        equal(profile('x.ini')['global', 'time'], back)
    for text, back in ('0', '0.0'), ('1', '1.0'), ('.5', '0.5'), ('0.333', '0.333'), ('1.', '1.0'):
        write('x.ini', JOB + f'write-fraction = {text}\n')
        equal(profile('x.ini')['a', 'write-fraction'], back)


@case
def check_prints_a_profile_that_checks_to_itself():
    os.mkdir('sub')
    write('sub/t.uvmt', 'UVMT')
    write('sub/x.ini', '[global]\ncpus = 7\nseed = 3\n' + JOB + 'write-fraction = 0.3\n'
          '[t]\nworkload = trace\ntrace = t.uvmt\n')
    first = run('check', 'sub/x.ini')
    equal(first.returncode, 0, first.stderr)
    write('y.ini', first.stdout)
    second = run('check', 'y.ini')
    equal(second.returncode, 0, second.stderr)
    equal(profile('y.ini'), profile('sub/x.ini'))
    equal(second.stdout.splitlines()[0], first.stdout.splitlines()[0], 'digest')


@case
def origins_are_told():
    write('x.ini', '[global]\ncpus = 7\n' + JOB)
    out = run('check', 'x.ini', '--memory', '32M', '--set', 'a.threads=3').stdout
    has(run('check', 'x.ini', '--cpus', '8').stdout, 'cpus = 8                         ; --cpus 8')
    for line in 'cpus = 7                         ; x.ini:2', '; --memory 32M', \
            '; --set a.threads=3', 'swap = 0                         ; default':
        has(out, line)


@case
def the_command_line_wins_but_a_wrong_file_stays_wrong():
    write('x.ini', '[global]\ncpus = 7\n' + JOB)
    equal(profile('x.ini', '--cpus', '9')['global', 'cpus'], '9')
    equal(profile('x.ini', '--set', 'global.cpus=10')['global', 'cpus'], '10')
    write('x.ini', '[global]\ncpus = 700\n' + JOB)
    has(run('check', 'x.ini', '--cpus', '9').stderr, 'x.ini:2: cpus = 700: must be')


@case
def set_speaks_as_the_file_does():
    write('x.ini', JOB)
    for text, line in {
        'cpus=4': '--set cpus=4: must be SECTION.KEY=VALUE',
        'a.threads': '--set a.threads: must be SECTION.KEY=VALUE',
        'a.threads=': '--set a.threads=: must be SECTION.KEY=VALUE',
        'b.threads=2': '--set b.threads=2: no section [b]; allowed are: global a',
        'globl.cpus=2': "--set globl.cpus=2: no section [globl]; did you mean 'global'?",
        'global.cpus=900': '--set global.cpus=900: must be a whole number, 1 to 256',
        'a.tread=2': "--set a.tread=2: tread: no such key for workload anon-fault; did you mean 'threads'?",
    }.items():
        r = run('check', 'x.ini', '--set', text)
        equal((r.returncode, r.stderr.decode()[:len(line) + 11]), (2, 'uvmstress: ' + line))


@case
def several_files_make_one_machine():
    write('x.ini', '[global]\ncpus = 2\nmemory = 32M\n' + JOB)
    write('y.ini', '[global]\ncpus = 3\n[b]\nworkload = file-map\n')
    got = profile('x.ini', 'y.ini')
    equal((got['global', 'cpus'], got['global', 'memory']), ('3', '32M'))
    equal((got['a', 'workload'], got['b', 'workload']), ('anon-fault', 'file-map'))
    has(run('check', 'x.ini', 'x.ini').stderr, 'x.ini:4: [a]: duplicate section, first at x.ini:4')


@case
def a_file_that_is_not_there_is_named():
    for name, why in ('gone.ini', 'No such file or directory'), ('/', 'Is a directory'):
        r = run('run', name)
        equal((r.returncode, r.stderr.decode()),
              (2, f'uvmstress: {name}: cannot read the job file: {why}\n'))


@case
def digest_ignores_seed_and_place_but_nothing_else():
    def digest(*args):
        return run('check', *args).stdout.splitlines()[0]
    os.mkdir('sub')
    for d in '.', 'sub':
        write(d + '/t.uvmt', 'UVMT')
        write(d + '/x.ini', JOB + '[t]\nworkload = trace\ntrace = t.uvmt\n')
    first = digest('x.ini')
    equal(digest('sub/x.ini'), first)
    equal(digest('x.ini', '--seed', '5'), first)
    assert digest('x.ini', '--cpus', '5') != first
    assert digest('x.ini', '--set', 'a.threads=2') != first


@case
def every_workload_runs_on_its_defaults():
    for wl in json.loads(run('list', 'workloads', '--json').stdout)['workloads']:
        if any(o['key'] == 'trace' for o in wl['options']):
            continue
        write('x.ini', f"[a]\nworkload = {wl['name']}\n")
        values = profile('x.ini')
        for o in wl['options']:
            assert ('a', o['key']) in values, (wl['name'], o['key'])
            assert o['default'] is None or values['a', o['key']], o


# Over the real engine: all that does not depend on which workloads there are, nor on
# what the double takes for a trace.
portable = [name for name in broken if name not in (
    'common_key_without_meaning', 'unknown_job_key_far', 'default_memory_too_small', 'memory_too_small')]
portable += ['every_workload_runs_on_its_defaults', 'origins_are_told', 'several_files_make_one_machine']

main(portable if '--real' in sys.argv else None)
