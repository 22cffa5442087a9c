# SPDX-License-Identifier: BSD-2-Clause
"""race-hunt finds a seeded data race of each kind within seconds, names it, and finds nothing
in a tree without: t_race_runs.py PROGRAM RACE_HUNT PROFILE, a program with ThreadSanitizer and
-Dbugs=true."""

import os
import re
import subprocess
import sys

if '--skip' in sys.argv:
    print('1..0 # SKIP needs a build with -Db_sanitize=thread -Dbugs=true')
    sys.exit(0)

from harness import case, equal, main

PROGRAM, TOOL, PROFILE = [os.path.abspath(a) for a in sys.argv[1:4]]
del sys.argv[2:4]


def hunt(*args):
    """=> (exit status, what it printed); it may take long on a busy machine, not for ever"""
    r = subprocess.run([sys.executable, TOOL, '--program', PROGRAM, PROFILE, *args],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return r.returncode, r.stdout


def found(bug, field, one, other):
    """A line with the field, both places and the want of a lock, and the command that repeats it."""
    status, out = hunt('--bug', bug, '--first', '--time', '1200', '--run-time', '5')
    equal(status, 1, out)
    lines = out.splitlines()
    line = lines[0].replace(' atomically', '')
    assert any(re.match(field + f': {a}, {b}, no common lock', line) for a, b in ((one, other), (other, one))), out
    assert re.match('    repeat with: .*' + re.escape(PROGRAM) + r' run .* --seed \d+ .*--bug ' + bug, lines[1]), out


@case
def an_unlocked_update_of_flags():
    found('flags-unlocked', 'vm_page::flags', r'uvm_fault_anon\.c:\d+ writes', r'uvm_\w+\.c:\d+ (reads|writes)')


@case
def the_lock_of_another_object():
    found('wrong-anon-locked', 'vm_anon::an_ref', r'uvm_\w+\.c:\d+ writes', r'uvm_\w+\.c:\d+ (reads|writes)')


@case
def published_before_it_is_initialised():
    found('publish-early', 'proc::p_pid', r'uvm_proc\.c:\d+ writes', r'uvm_proc\.c:\d+ reads')


@case
def freed_without_a_grace_period():
    found('free-at-once', r'proc::\w+', r'uvm_proc\.c:\d+ frees', r'uvm_proc\.c:\d+ reads')


@case
def no_spl_around_what_an_interrupt_uses():
    found('magazine-without-spl', r'\w+::\w+', r'\w+\.c:\d+ .*', r'\w+\.c:\d+ .*')


@case
def a_tree_without_them_yields_nothing():
    status, out = hunt('--time', '5', '--run-time', '4')
    equal(status, 0, out)
    assert out.startswith('race-hunt: 0 races'), out


main()
