# SPDX-License-Identifier: BSD-2-Clause
"""uvmstress report: one page, from files alone, whatever is in them."""

import html.parser
import json
import os
import shutil

from harness import case, equal, has, main, run, write

VOID = {'meta', 'link', 'line', 'rect', 'path', 'br'}


class Page(html.parser.HTMLParser):
    """Well nested, and with nothing that would be fetched or run."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.words = [], [], ''
        with open(path, encoding='utf-8') as f:
            self.source = f.read()
        self.feed(self.source)
        equal(self.open, [])

    def handle_starttag(self, tag, attrs):
        assert tag not in ('script', 'img', 'iframe', 'object'), tag
        for name, value in attrs:
            assert not name.startswith('on'), attrs
            if name in ('href', 'src'):
                equal(value, 'data:,')
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            equal(self.open.pop(), tag)

    def handle_data(self, data):
        self.words += data


def failure():
    write('x.ini', '[a]\nworkload = anon-fault\nending = violation\n')
    equal(run('run', 'x.ini', '--seed', '9', '-q').returncode, 1)


@case
def a_failure_is_told_whole():
    failure()
    shutil.move('uvmstress-out/0001', 'elsewhere')      # where its paths mean nothing
    r = run('report', 'elsewhere')
    equal((r.returncode, r.stdout, r.stderr), (0, b'elsewhere/report.html\n', b''))
    page = Page('elsewhere/report.html')
    for part in ('violation', 'I-PG-2', 'page 7 is on two lists', 'uvm_pagefree', 'run x.ini --seed 9', 'locks held: pageq',
                 'page faults', 'time it took', '512 ns', 'leak-at-exit', 'workload = anon-fault', 'amap',
                 'page faults a second', 'operations of all jobs a second', 's since the load began', 'until 0.4 s: 2.0k',
                 'until 0.5 s: 560', 'us before it was found', '10.0 us before, interrupt of LWP 8: page_free page 7'):
        assert part in page.words, part
    assert 'url(' not in page.source and '@import' not in page.source
    equal(page.tags.count('svg'), 6)


@case
def a_result_alone_will_do_and_goes_where_it_is_told():
    write('x.ini', '[a]\nworkload = anon-fault\n')
    equal(run('run', 'x.ini', '--json', 'r.json', '-q').returncode, 0)
    r = run('report', 'r.json', '--output', '-')
    equal(r.returncode, 0)
    assert r.stdout.startswith(b'<!DOCTYPE html>') and r.stdout.endswith(b'</html>\n')
    equal(run('report', 'r.json', '-o', 'there.html').returncode, 0)
    has(Page('there.html').words, 'clean')
    assert not os.path.exists('report.html')


@case
def what_is_in_the_files_is_text():
    failure()
    path = 'uvmstress-out/0001/result.json'
    with open(path) as f:
        r = json.load(f)
    evil = '</pre><script>alert(1)</script>"\'&<img src=x onerror=y>'
    for v in r['violations']:
        v.update(kind=evil, id=evil, message=evil, stack=[evil, 7, None])
    r.update(outcome=evil, command=evil, notes=[evil], missing=[3])
    r['jobs'][0]['name'] = evil
    r['locks'] = [{'class': evil, 'wait_ns': 5}]
    r['lock_order'] = [{'held': evil, 'wanted': 'b'}, {'held': 'b', 'wanted': evil}, {'held': 3}, 4]
    r['latency_ns'] = {evil: {'histogram': [[1e300, 4], [0, 1], [], 'x', [-5, -5]]}}
    r['faults'] = {evil: 3, 'per_s': 'x'}
    write(path, json.dumps(r))
    write('uvmstress-out/0001/report.txt', evil.encode() + b'\0\x1b[2J\xff\xfe')
    equal(run('report', 'uvmstress-out/0001').returncode, 0)
    with open('uvmstress-out/0001/report.html', 'rb') as f:
        data = f.read()
    assert b'<script' not in data and b'<img' not in data and b'\x1b' not in data


@case
def what_is_no_result_is_one_line_and_2():
    os.mkdir('empty')
    write('x.json', '{')
    write('y.json', '[]')
    for args, want in ((['empty'], 'cannot read empty/result.json: No such file'), (['x.json'], 'x.json:1: not JSON'),
                       (['y.json'], 'not the result of a run'), (['/dev/null'], 'not a file'), ([], 'one directory'),
                       (['a', 'b'], 'one directory')):
        r = run('report', *args)
        equal(r.returncode, 2, args)
        has(r.stderr, want)
        equal(r.stderr.count(b'\n'), 1)


main()
