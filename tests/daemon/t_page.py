# SPDX-License-Identifier: BSD-2-Clause
"""The page in a headless Chromium: what it shows, and what a click does.  Skipped where there is none."""

import os
import sys
import time

import browser
from daemonlib import PATIENCE, Daemon, config, equal, job, wait_for
from harness import case, has, main


def text(b, selector):
    return b.js(f'document.querySelector("{selector}").textContent')


@case
def the_page_shows_what_there_is_and_follows_clicks():
    job('x', 'violation')
    job('y', 'misorder')
    job('z', 'wait')
    config('workers = 2\nrun-time = 2s', profiles='x.ini y.ini z.ini')
    with Daemon() as d, browser.Browser() as b:
        wait_for(lambda: len(d.ask('failures')) == 2, 'both failures')
        wait_for(lambda: len(d.ask('top')['series']) >= 2, 'two samples')
        url = f'http://127.0.0.1:{d.status["http_port"]}/'
        for width in 1280, 390:
            for scheme in 'light', 'dark':
                b.look(width, scheme)
                b.open(url)
                wait_for(lambda: b.js('document.querySelectorAll("#failures tbody a").length') == 2, 'the failures')
                wait_for(lambda: b.js('!!document.querySelector("#c-throughput polyline")'), 'the chart')
                wait_for(lambda: b.js('!!document.querySelector("#c-order .node")'), 'the lock order')
                equal(b.js('document.documentElement.scrollWidth'), width, 'nothing sticks out')
                colour = b.js('getComputedStyle(document.body).backgroundColor')
                equal(sum(int(n) for n in colour[4:-1].split(',')) < 384, scheme == 'dark', colour)
                wait_for(lambda: text(b, '#state') == 'running', 'the state')
                has(text(b, '#c-throughput'), 'events per second')
                has(text(b, '#c-pages'), 'pages')
                wait_for(lambda: 'page faults in finished runs' in text(b, '#c-kinds'), 'the kinds of faults')
                wait_for(lambda: text(b, '#note') == '', 'no complaint')
                equal(b.js('[...document.querySelectorAll("svg text")].filter(t => parseFloat(getComputedStyle(t).fontSize) * '
                           't.ownerSVGElement.getBoundingClientRect().width / t.ownerSVGElement.viewBox.baseVal.width < 10).length'), 0,
                      'text too small to read')
        wait_for(lambda: b.js('document.querySelectorAll("#c-order .edge.cycle").length') == 2, 'the cycle')
        d.ask('pause')                  # what is clicked on stays where it is
        wait_for(lambda: not d.worker_pids(), 'the runs to end')
        beat = b.js('beat')
        wait_for(lambda: text(b, '#state') == 'paused' and b.js('beat') > beat + 5, 'all to be drawn once more')
        b.click('#c-order .node')
        equal(b.js('document.querySelectorAll("#c-order .node.on").length'), 2)
        b.click('#failures tbody a[href="#failure-1"]')
        wait_for(lambda: not b.js('document.querySelector("#failure").hidden'), 'the failure')
        wait_for(lambda: 'repeat with: ' in text(b, '#failure-report'), 'its report')
        b.click('#failure-close')
        wait_for(lambda: b.js('document.querySelector("#failure").hidden'), 'it to go')
        b.open(url + '#failure-99')
        wait_for(lambda: text(b, '#failure-title') == 'There is no such failure.', 'the complaint')
        equal([c for c in b.complaints() if '404' not in c], [])
        d.kill()
        wait_for(lambda: 'does not answer' in text(b, '#note'), 'the page to notice')


@case
def what_a_broken_machine_says_is_text_not_markup():
    job('x', 'violation')
    config()
    with Daemon() as d:
        wait_for(lambda: d.ask('failures'), 'a failure')
        d.ask('pause')
        d.stop()
    import sqlite3
    db = sqlite3.connect('st/results.db', timeout=PATIENCE)
    db.execute("UPDATE failure SET message = '<img src=x onerror=document.title=1><b>bold</b>'")
    db.commit()
    db.close()
    with Daemon('--set', 'workers=1') as d, browser.Browser() as b:
        b.open(f'http://127.0.0.1:{d.status["http_port"]}/#failure-1')
        wait_for(lambda: '<b>bold</b>' in text(b, '#failure-message') and '<b>bold</b>' in text(b, '#failures'), 'the text')
        equal(b.js('document.querySelectorAll("#failures img, #failure img").length'), 0)
        equal(b.js('document.title'), 'uvmstress')


if browser.there_is_one():
    main()
else:
    print('1..0 # SKIP chromium and chromedriver are not installed')
