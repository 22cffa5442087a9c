# SPDX-License-Identifier: BSD-2-Clause
"""The performance table over the real machine: its structure, and that there are figures in it; never
how large they are.  t_bench.py BINARY [--skip]"""

import json
import os
import sys

import harness
from harness import case, equal, main

if '--skip' in sys.argv:
    print('1..0 # SKIP a build with a sanitizer is not what is measured')
    sys.exit(0)
senses = {'at least so many times as good': lambda ratio, target: ratio >= target,
          'at most so many times it': lambda ratio, target: ratio <= target,
          'at most so much over it': lambda ratio, target: ratio <= target}


def check_reference(ref):
    assert ref['name'] and ref['value'] > 0, ref
    assert ref['ratio_least'] <= ref['ratio'] <= ref['ratio_most'], ref
    equal('target' in ref, 'verdict' in ref)
    if 'target' in ref:
        equal(ref['verdict'], 'met' if senses[ref['target_is']](ref['ratio'], ref['target']) else 'short')


def check_row(row):
    if row['value'] is None:        # the host has not got what it takes, and it is said what that is
        assert row['note'], row
        return
    assert 0 < row['least'] <= row['value'] <= row['most'], row
    assert row['unit'] and row['turns'] >= 1 and row['clock'] in ('cpu', 'wall'), row
    for ref in row['references']:
        check_reference(ref)


def table(group, want):
    """Its rows by name; `want` are some that have a target, and how many."""
    r = harness.run('bench', '--quick', group, '--json', '-')
    equal((r.returncode, r.stderr), (0, b''))
    j = json.loads(r.stdout)
    for row in j['rows']:
        equal(row['group'], group)
        check_row(row)
    verdicts = [ref['verdict'] for row in j['rows'] for ref in row['references'] if 'verdict' in ref]
    equal((j['targets'], j['short']), (len(verdicts), verdicts.count('short')))
    rows = {row['name']: row for row in j['rows']}
    equal(len(rows), len(j['rows']), 'names are different')
    for name, targets in want.items():
        if rows[name]['value'] is not None:
            equal(len([ref for ref in rows[name]['references'] if 'target' in ref]), targets, name)


@case
def faults_beside_memset_memcpy_and_the_host():
    table('fault', {'zero-fill fault, 1 CPU': 2, 'zero-fill fault, warm pages': 1, 'COW fault': 1,
                    'soft fault, fault-ahead off': 1, 'verified load, TLB hit': 1})


@case
def maps_of_many_entries_beside_the_hosts():
    table('map', {'mmap+munmap, 10 entries': 1, 'mmap+munmap, 100000 entries': 1,
                  'growth from 10 to 100000 entries': 1})


@case
def fork_beside_the_hosts():
    table('fork', {'fork of 128 MiB, and exit': 1})


@case
def swap_beside_the_same_on_its_file():
    table('swap', {'page-out and page-in, 1 CPU': 1})


@case
def pools_beside_malloc():
    table('kernel-memory', {'pool item, get and put': 1, 'pool item, in interrupt': 1})


@case
def loans_beside_memcpy():
    table('data-movement', {'loan of 1 page': 0, 'loan of 4 pages': 2, 'loan of 256 pages': 2})


@case
def overhead_of_a_page():
    table('memory', {'resident overhead of a page': 1})


@case
def the_page_daemon_and_its_growth():
    table('pagedaemon', {'pages that the page daemon looks at': 0, 'a page looked at, of 256 MiB': 1})


# CPUs that wait for each other's acknowledgements wait for the host's scheduler, if it has others to run.
if os.getloadavg()[0] < 4:
    @case
    def more_CPUs_beside_fewer():
        table('scale', {'2 CPUs, private memory': 1, '2 CPUs, one shared map': 1, '4 CPUs': 1, '256 CPUs': 1})


main()
