# SPDX-License-Identifier: BSD-2-Clause
"""The two doors: control socket and web server, and what is thrown at them."""

import concurrent.futures
import http.client
import json
import os
import random
import re
import resource
import socket
import stat
import time

from daemonlib import PATIENCE, Daemon, all_is_well, answer, config, equal, harness, job, run, wait_for
from harness import case, has, main

RUBBISH = 200


def port(d):
    return d.status['http_port']


def fetch(d, path, method='GET', **headers):
    c = http.client.HTTPConnection('127.0.0.1', port(d), timeout=PATIENCE)
    c.request(method, path, headers=headers)
    r = c.getresponse()
    return r, r.read()


def http_raw(d, data):
    """Bytes in, bytes out; the server hangs up."""
    with socket.create_connection(('127.0.0.1', d.http), PATIENCE) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            got = b''
            while part := s.recv(65536):
                got += part
            return got
        except TimeoutError:
            raise
        except OSError:                         # it hung up before all was said
            return b''


@case
def only_its_owner_may_control():
    job('x', 'clean')
    config()
    old = os.umask(0)
    try:
        with Daemon() as d:
            equal(stat.S_IMODE(os.stat('st/ctl').st_mode), 0o600)
            d.stop()
        config('socket-mode = 0660\nsocket = other')
        with Daemon.__new__(Daemon) as d:
            d.connect = lambda: connect_to('other')
            d.__init__()
            equal(stat.S_IMODE(os.stat('other').st_mode), 0o660)
    finally:
        os.umask(old)


def connect_to(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE)
    s.connect(path)
    return s


@case
def ctl_speaks_for_people_and_programs():
    job('x', 'violation')
    config()
    with Daemon() as d:
        wait_for(lambda: d.ask('failures'), 'a failure')
        ctl = ['ctl', '--socket', 'st/ctl']
        has(run(*ctl, 'status').stdout, f'process {d.p.pid}: running')
        has(run(*ctl, 'failures').stdout, 'invariant I-PG-2: page 7 is on two lists')
        has(run(*ctl, 'show', '1').stdout, 'fingerprint ')
        has(run(*ctl, 'show', '1').stdout, 'locks held: pageq')
        has(run(*ctl, 'runs').stdout, 'violation')
        has(run(*ctl, 'check').stdout, 'database and failures are sound')
        r = run(*ctl, 'top', '--count', '2')
        equal((r.returncode, r.stdout.count(b'LOCKS BY WAIT')), (0, 2))
        equal(json.loads(run(*ctl, '--json', 'status').stdout)['pid'], d.p.pid)
        for words, status, want in ((['show', '99'], 2, 'there is no failure 99'), (['show'], 2, 'show takes one argument'),
                                    (['dance'], 2, "unknown verb 'dance'"), ([], 2, 'no verb'), (['status', 'x'], 2, 'status takes no')):
            r = run(*ctl, *words)
            equal((r.returncode, r.stdout), (status, b''), words)
            has(r.stderr, want)
        equal(run(*ctl, 'stop').returncode, 0)
        equal(d.p.wait(PATIENCE), 0)
        r = run(*ctl, 'status')
        equal(r.returncode, 3)
        has(r.stderr, 'cannot reach the daemon at st/ctl')
    all_is_well()


@case
def bad_control_messages_are_answered_and_change_nothing():
    job('x', 'clean')
    config()
    dice = random.Random(1)
    known = [(b'status\n', 'this daemon speaks uvmstress/1'), (b'uvmstress/2 status\n', 'this daemon speaks uvmstress/1'),
             (b'\n', 'this daemon speaks'), (b'uvmstress/1\n', 'no verb'), (b'uvmstress/1 statsu\n', "did you mean 'status'?"),
             (b'uvmstress/1 show\n', 'show takes one argument'), (b'uvmstress/1 show x\n', 'there is no failure x'),
             (b'uvmstress/1 show 1 2\n', 'show takes one'), (b'uvmstress/1 pause now\n', 'pause takes no argument'),
             (b'uvmstress/1 show 99999999999999999999\n', 'there is no failure'), (b'a' * 5000, 'a request is one line'),
             (b'uvmstress/1 sta\0tus\n', 'a request is one line'), (b'uvmstress/1 show \x1b[2J\xff\n', 'there is no failure ?[2J?')]
    with Daemon() as d:
        for data, want in known:
            line, _ = d.raw(data)
            assert line.startswith('uvmstress/1 error ') and want in line, (data, line)
        for _ in range(RUBBISH - len(known)):
            data = dice.randbytes(dice.randrange(1, 700)).replace(b'uvmstress/1 stop', b'') + b'\n'
            with d.connect() as s:
                try:
                    s.sendall(data)
                    line, _ = answer(s.makefile('rb'))
                except ConnectionError:
                    continue            # hung up on the rest of it
                assert line.startswith('uvmstress/1 error '), (data, line)
        # several requests that come together are answered in order; an error does not end the talk
        with d.connect() as s:
            s.sendall(b'uvmstress/1 bad\nuvmstress/1 failures\nuvmstress/1 sta')
            s.sendall(b'tus\n')
            f = s.makefile('rb')
            has(answer(f)[0], 'unknown verb')
            equal(answer(f)[1], [])
            equal(answer(f)[1]['state'], 'running')
        before = d.finished()
        wait_for(lambda: d.finished() > before, 'runs to go on')
        equal(d.stop(), 0)
    all_is_well()


def admitted(d):
    """=> a connection that has its place; who has left may still have had it a moment ago"""
    while True:
        s = d.connect()
        s.sendall(b'uvmstress/1 status\n')
        try:
            if answer(s.makefile('rb'))[1] is not None:
                return s
        except ConnectionError:
            pass
        s.close()


@case
def more_control_clients_than_there_is_room_for_are_told():
    job('x', 'clean')
    config()                                    # and none is cut off for being slow
    with Daemon() as d:
        crowd = [admitted(d) for _ in range(32)]
        for s in crowd:
            s.sendall(b'uvmstress/1 sta')       # and never the rest
        for _ in range(4):
            with d.connect() as s:
                has(s.recv(200), 'error too many clients')
        for s in crowd:
            s.close()
        wait_for(d.answers, 'room')
        before = d.finished()
        wait_for(lambda: d.finished() > before, 'runs to go on')
        equal(d.stop(), 0)


@case
def slow_control_clients_are_cut_off():
    job('x', 'clean')
    config('client-timeout = 1s')
    with Daemon() as d:
        with d.connect() as s:
            s.sendall(b'uvmstress/1 sta')       # and never the rest
            equal(s.recv(100), b'')
        equal(d.stop(), 0)


@case
def who_does_not_read_the_answer_is_dropped():
    job('x', 'clean')
    config('client-timeout = 1s')
    with Daemon() as d:
        wait_for(lambda: d.finished() > 20, 'something to tell')
        with d.connect() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            s.settimeout(0.5)
            try:
                for _ in range(2000):
                    s.sendall(b'uvmstress/1 runs\n' * 10)
            except (TimeoutError, ConnectionError):
                pass                            # it stopped listening until we read: as it should; and then?
            assert d.status['state'] == 'running'
            s.setblocking(False)
            wait_for(lambda: dropped(s), 'the line to be cut')
        equal(d.stop(), 0)


def dropped(s):
    try:
        s.send(b'uvmstress/1 runs\n')
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return False


# --- HTTP ---

@case
def the_page_and_its_data_are_there():
    job('x', 'violation')
    config()
    with Daemon() as d:
        wait_for(lambda: d.ask('failures'), 'a failure')
        r, body = fetch(d, '/')
        equal((r.status, r.headers['Content-Type']), (200, 'text/html; charset=utf-8'))
        has(r.headers['Content-Security-Policy'], "default-src 'none'")
        assert not re.search(rb'(src|href)="?(https?:)?//', body), 'the page asks somebody else'
        for path, kind in ('/api/status', dict), ('/api/series', list), ('/api/runs?limit=3', list), ('/api/failures', list), \
                ('/api/failure?id=1', dict), ('/api/locks', dict):
            r, body = fetch(d, path)
            equal((r.status, r.headers['Content-Type']), (200, 'application/json'), path)
            assert isinstance(json.loads(body), kind), path
        equal(json.loads(fetch(d, '/api/locks')[1])['order'].keys(), {'map>amap'})
        assert len(json.loads(fetch(d, '/api/runs?limit=1')[1])) == 1
        for path in '/api/failure?id=77', '/api/failure', '/x', '/api/', '/../etc/passwd', '/api/failure?id=1%27':
            equal(fetch(d, path)[0].status, 404, path)
        r, body = fetch(d, '/metrics', 'HEAD')
        equal((r.status, body), (200, b''))
        equal(d.stop(), 0)


@case
def it_is_for_reading_and_for_this_host_only():
    job('x', 'clean')
    config()
    with Daemon() as d:
        for method in 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'BREW':
            r, _ = fetch(d, '/metrics', method)
            equal((r.status, r.headers['Allow']), (405, 'GET, HEAD'), method)
        for host in 'evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '127.0.0.1:x', '', 'localhost:80:80':
            equal(fetch(d, '/api/status', Host=host)[0].status, 403, host)
        for host in 'localhost', 'LOCALHOST:9464', '127.0.0.1:1', '[::1]:9464':
            equal(fetch(d, '/api/status', Host=host)[0].status, 200, host)
        d.http = port(d)
        has(http_raw(d, b'GET / HTTP/1.0\r\n\r\n'), '403')
        equal(d.stop(), 0)


@case
def bad_http_requests_are_answered_or_dropped():
    job('x', 'clean')
    config('client-timeout = 1s')               # or a half would be waited for
    dice = random.Random(2)
    known = [b'GET\r\n\r\n', b'GET / HTTP/9.9\r\n\r\n', b'GET /' + b'a' * 40000 + b' HTTP/1.1\r\nHost: localhost\r\n\r\n',
             b'GET / HTTP/1.1\r\n' + b'X: y\r\n' * 9000 + b'\r\n', b'GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n',
             b'GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', b'\x16\x03\x01\x02\x00', b'\0' * 1000,
             b'POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n' + b'x' * 100000]
    with Daemon() as d:
        d.http = port(d)
        rubbish = known + [dice.randbytes(dice.randrange(1, 2000)) for _ in range(RUBBISH - len(known))]
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(lambda data: http_raw(d, data), rubbish))
        for data, got in zip(rubbish, answers):
            assert not got.startswith(b'HTTP/1.1 200') or data.startswith(b'GET / HTTP/1.1\r\nHost'), (data[:80], got[:80])
        before = d.finished()
        wait_for(lambda: d.finished() > before, 'runs to go on')
        wait_for(lambda: serves(d), 'it to serve')
        equal(d.stop(), 0)
    all_is_well()


@case
def five_hundred_connections_do_not_disturb_it():
    job('x', 'clean')
    config('client-timeout = 1s')
    with Daemon() as d:
        at = ('127.0.0.1', port(d))
        crowd = []
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        for n in range(500):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(at)
            crowd.append(s)
        for s in crowd[:200]:
            try:
                s.send(b'GET / HT')
            except OSError:
                pass
        before = d.finished()
        wait_for(lambda: d.finished() > before + 5, 'runs to go on')
        fds = len(os.listdir(f'/proc/{d.p.pid}/fd'))
        assert fds < 130, fds
        for s in crowd:
            s.close()
        wait_for(lambda: serves(d), 'it to serve again')
        equal(d.stop(), 0)


def serves(d):
    try:
        return fetch(d, '/metrics')[0].status == 200
    except (OSError, http.client.HTTPException):
        return False


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*\})? '
                    r'([+-]?(?:[0-9.]+(?:[eE][+-]?[0-9]+)?|Inf|NaN))')


def parse_metrics(text):
    """A strict reader of the text format: {(name, labels): value}."""
    assert text.endswith('\n')
    types, samples, closed, current = {}, {}, set(), None
    for line in text.splitlines():
        if m := re.fullmatch(r'# HELP (\S+) \S.*', line):
            closed.add(current)
            current = m[1]
            assert current not in closed, f'{current}: its samples are not together'
            assert current not in types, line
        elif m := re.fullmatch(r'# TYPE (\S+) (counter|gauge)', line):
            equal(m[1], current)
            types[current] = m[2]
        else:
            m = SAMPLE.fullmatch(line)
            assert m, line
            equal(m[1], current, line)
            assert types[current], line
            key = (m[1], m[2] or '')
            assert key not in samples, f'twice: {line}'
            samples[key] = float(m[3])
            assert types[current] != 'counter' or samples[key] >= 0, line
    for name, kind in types.items():
        assert name.startswith('uvmstress_'), name
        equal(name.endswith('_total'), kind == 'counter', name)
        assert not re.search(r'_(ns|ms|us|kib|mib|percent|minutes)(_|$)', name), f'{name}: not a base unit'
    return samples


@case
def metrics_follow_the_conventions_and_count():
    job('x', 'violation')
    config()
    with Daemon() as d:
        wait_for(lambda: d.ask('failures'), 'a failure')
        one = parse_metrics(fetch(d, '/metrics')[1].decode())
        equal(one['uvmstress_build_info', '{version="0.1.0"}'], 1)
        equal(one['uvmstress_failures', ''], 1)
        n = one['uvmstress_failure_sightings_total', '']
        wait_for(lambda: d.ask('failures')[0]['count'] > n + 1, 'more of it')
        two = parse_metrics(fetch(d, '/metrics')[1].decode())
        for key in one:
            if '_total' in key[0]:
                assert two[key] >= one[key], key
        for key in ('finished_faults_total', '{kind="cow"}'), ('lock_acquisitions_total', '{class="map"}'), \
                ('checks_total', '{check="leak-at-exit"}'), ('runs', '{outcome="violation"}'), ('failure_sightings_total', ''):
            key = ('uvmstress_' + key[0], key[1])
            assert two[key] > one[key], (key, one[key], two[key])
        equal(d.stop(), 0)


def open_files(d):
    """What the supervisor has open; it opens and closes files meanwhile."""
    there = f'/proc/{d.p.pid}/fd'
    for n in os.listdir(there):
        try:
            yield os.readlink(f'{there}/{n}')
        except FileNotFoundError:
            pass


@case
def locks_of_all_workers_have_one_row_each():
    job('x', 'wait')
    config('workers = 3\nrun-time = 600s\nschedules = free')
    with Daemon() as d:
        wait_for(lambda: sum(len(w.get('progress', {}).get('locks', [])) for w in d.status['workers']) == 3, 'three looks')
        r = run('ctl', '--socket', 'st/ctl', 'top', '--count', '1')
        rows = [line.split() for line in r.stdout.decode().partition('LOCKS BY WAIT')[2].splitlines()[1:]]
        equal(rows, [['pageq', '3.000', '15']])
        d.stop()


@case
def http_off_is_no_server():
    job('x', 'clean')
    config(http='off')
    with Daemon() as d:
        equal(port(d), None)
        with open('/proc/net/tcp') as f:
            listening = {line.split()[9] for line in f if line.split()[3] == '0A'}
        equal([x for x in open_files(d) if x.startswith('socket:[') and x[8:-1] in listening], [])
        equal(d.stop(), 0)


main()
