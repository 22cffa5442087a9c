# SPDX-License-Identifier: BSD-2-Clause
"""Manual pages: sound, and of one mind with the program.  t_man.py BINARY DIRECTORY"""

import json
import os
import re
import shutil
import subprocess
import sys

from harness import case, equal, main, run

pages = os.path.abspath(sys.argv.pop(2))
COMMANDS = [['trace', 'record'] if c == 'trace' else [c]
            for c in re.findall(r'^  ([a-z]+) ', subprocess.run([sys.argv[1], '--help'], stdout=subprocess.PIPE).stdout.decode(), re.M)]


def source(page):
    with open(f'{pages}/{page}') as f:
        return f.read()


def subsections(text):
    """{heading: text} of .Ss."""
    return dict(re.findall(r'^\.Ss (.*)\n((?:(?!\.S[sh] ).*\n)*)', text, re.M))


def verbs():
    return re.findall(r'^\.It Cm (\S+)', subsections(source('uvmstress-daemon.8'))['Verbs of uvmstress ctl'], re.M)


@case
def mandoc_finds_nothing_wrong():
    if shutil.which('mandoc') is None:
        print('# mandoc is not installed: nothing was tried')
        return
    for page in sorted(p for p in os.listdir(pages) if re.search(r'\.[1-8]$', p)):
        r = subprocess.run(['mandoc', '-Tlint', '-W', 'style', f'{pages}/{page}'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = [line for line in r.stdout.decode().splitlines() if 'referenced manual not found' not in line]
        equal(said, [], page)


@case
def every_command_and_option_is_in_the_page_and_nothing_else_is():
    text = source('uvmstress.1')
    parts = subsections(text)
    headings = {h.removeprefix('uvmstress ') for h in parts}
    equal(headings, {' '.join(c) for c in COMMANDS} | {'trace info'})
    for command in COMMANDS:
        helped = set(re.findall(r'^  (?:-\w,|   ) --([\w-]+)', run(*command, '--help').stdout.decode(), re.M))
        told = set(re.findall(r'^\.It (?:Fl \w , )?Fl Fl ([\w-]+)', parts['uvmstress ' + ' '.join(command)], re.M))
        if command == ['audit']:
            told |= set(re.findall(r'^\.It (?:Fl \w , )?Fl Fl ([\w-]+)', parts['uvmstress run'], re.M)) - {'trace-events'}
        equal(told, helped, command)


@case
def every_key_workload_and_lock_is_in_its_page_and_nothing_else_is():
    for page, topics in ('uvmstress-jobfile.5', ['global', 'workloads', 'faults']), ('uvmstress-daemon.8', ['daemon']), \
            ('uvmlocks.7', ['locks']):
        there = {e['name'] for t in topics for e in json.loads(run('list', t, '--json').stdout)[t]}
        told = set(re.findall(r'^\.It (?:Ic|Cm) (\S+)$', source(page), re.M))
        if page == 'uvmstress-daemon.8':
            told -= set(verbs())
        equal(told, there, page)


@case
def every_verb_of_ctl_is_in_the_page():
    usage = run('ctl', '--help').stdout.decode().splitlines()[0]
    there = set(re.findall(r'[a-z]+', usage.split('[OPTION...] ')[1]))
    equal(set(verbs()), there)


main()
