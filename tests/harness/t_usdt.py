# SPDX-License-Identifier: BSD-2-Clause
"""USDT probes: notes in the binary, and scripts that use what is there.  t_usdt.py BINARY TREE [--skip]"""

import glob
import os
import re
import subprocess
import sys

import harness
from harness import case, equal, main

tree = os.path.abspath(sys.argv.pop(2))
if '--skip' in sys.argv:
    print('1..0 # SKIP there is no <sys/sdt.h>, or usdt is disabled')
    sys.exit(0)

WANT = {'fault__start': 3, 'fault__done': 4, 'loan': 2, 'pageout__start': 2, 'pageout__done': 3, 'lock__wait': 2}


def notes():
    """{probe: number of arguments} of our provider."""
    r = subprocess.run(['readelf', '-nW', harness.binary], stdout=subprocess.PIPE, check=True)
    return {name: len(args.split()) for name, args in
            re.findall(r'Provider: uvmstress\s+Name: (\S+)\s+.*\n\s+Arguments:(.*)', r.stdout.decode())}


@case
def each_probe_is_a_note_with_its_arguments():
    equal(notes(), WANT)


@case
def scripts_use_probes_and_arguments_that_exist():
    scripts = glob.glob(f'{tree}/tools/bpftrace/*.bt')
    assert len(scripts) >= 2, scripts
    for path in scripts:
        with open(path, encoding='utf-8') as f:
            used = re.findall(r'^usdt:[^:]*:uvmstress:(\w+)(.*)', f.read(), re.M)
        assert used, path
        for name, rest in used:
            assert name in WANT, (path, name)
            for arg in re.findall(r'\barg(\d)\b', rest):
                assert int(arg) < WANT[name], (path, name, arg)


@case
def the_header_tells_of_each():
    with open(f'{tree}/include/sys/probe.h', encoding='utf-8') as f:
        told = dict(re.findall(r'^ \*\t(\w+)\t+(.*)', f.read(), re.M))
    equal(set(told), set(WANT))


main()
