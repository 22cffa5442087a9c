# SPDX-License-Identifier: BSD-2-Clause
"""How race-hunt names what ThreadSanitizer reports."""

import importlib.machinery
import importlib.util
import os
import sys

from harness import case, equal, main, write

TOOL = os.path.abspath(sys.argv[1])
loader = importlib.machinery.SourceFileLoader('race_hunt', TOOL)
hunt = importlib.util.module_from_spec(importlib.util.spec_from_loader('race_hunt', loader))
loader.exec_module(hunt)

SOURCE = '''struct vm_anon { int an_ref; };
struct vm_page {
\tuint32_t\t flags;\t/* o */
\tstruct vm_anon\t*uanon;
};
void
dirty(struct vm_page *pg)
{
\tpg->flags &= ~4u;
}
bool
shared(const struct vm_page *pg)
{
\treturn pg->uanon->an_ref > 1 && pg->flags != 0;
}
'''
REPORT = '''==================
WARNING: ThreadSanitizer: data race (pid=1)
  {first} of size 4 at 0x7b0 by thread T7{locks1}:
    #0 {f1} {path}:{at1} (uvmstress+0x1) (BuildId: 00)

  Previous {second} of size 4 at 0x7b0 by thread T8{locks2}:
    #0 {f2} {path}:{at2} (uvmstress+0x2) (BuildId: 00)

  Mutex M1 (0x1) created at:
    #0 __tsan_mutex_create <null> (uvmstress+0x3)
    #1 race_lock_create race.h:1:1 (uvmstress+0x3)
    #2 anon_lock_created lockrank.def:1:1 (uvmstress+0x3)

  Mutex M2 (0x2) created at:
    #0 __tsan_mutex_create <null> (uvmstress+0x3)
    #1 anon_lock_created lockrank.def:1:1 (uvmstress+0x3)

  Thread T7 'worker' (tid=2, running) created by main thread at:
    #0 pthread_create <null> (uvmstress+0x4)

  Thread T8 '{name}' (tid=0, running) created by thread T7 at:
    #0 race_context_create race.c:1:1 (uvmstress+0x4)

SUMMARY: ThreadSanitizer: data race x.c:9 in dirty
==================
'''


def named(**kw):
    """What the report is called, with these things in it."""
    write('x.c', SOURCE)
    values = dict(first='Write', second='read', locks1='', locks2='', f1='dirty', at1='9:12',
                  f2='shared', at2='14:38', path=os.path.abspath('x.c'), name='other')
    values.update(kw)
    found = list(hunt.reports(REPORT.format(**values)))
    equal(len(found), 1)
    return found[0].name(hunt.Sources(os.getcwd()))


@case
def the_member_and_both_places_are_named():
    equal(named(), 'vm_page::flags: x.c:9 writes, x.c:14 reads, no common lock')


@case
def the_writer_comes_first():
    equal(named(first='Read', second='write', f1='shared', at1='14:38', f2='dirty', at2='9:12'),
          'vm_page::flags: x.c:9 writes, x.c:14 reads, no common lock')


@case
def a_chain_is_followed_to_the_member_at_the_column():
    equal(named(at1='14:20', at2='14:20'),
          'vm_anon::an_ref: x.c:14 writes, x.c:14 reads, no common lock')


@case
def locks_are_named_by_class():
    equal(named(locks1=' (mutexes: write M1)'),
          'vm_page::flags: x.c:9 writes, x.c:14 reads, no common lock (anon; none)')
    equal(named(locks1=' (mutexes: write M1)', locks2=' (mutexes: write M2)'),
          'vm_page::flags: x.c:9 writes, x.c:14 reads, no common lock, for the anon locks differ (anon; anon)')
    equal(named(locks1=' (mutexes: read M1)', locks2=' (mutexes: read M1)'),
          'vm_page::flags: x.c:9 writes, x.c:14 reads, both hold anon for reading')


@case
def an_interrupt_is_named_by_its_level():
    equal(named(name='interrupt 3/5'),
          'vm_page::flags: x.c:9 writes, x.c:14 reads in an interrupt of IPL_VM, no common lock')


main()
