# SPDX-License-Identifier: BSD-2-Clause
"""A headless Chromium over the WebDriver protocol, which is JSON over HTTP: enough of it to look and click."""

import base64
import http.client
import json
import re
import shutil
import subprocess
import time

from daemonlib import PATIENCE


def there_is_one():
    return shutil.which('chromedriver') is not None and shutil.which('chromium') is not None


class Browser:
    def __init__(self):
        self.driver = subprocess.Popen(['chromedriver', '--port=0'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for line in self.driver.stdout:
            if m := re.search(rb'started successfully on port (\d+)', line):
                break
        else:
            raise AssertionError('chromedriver did not start')
        self.port = int(m[1])
        self.base = ''
        options = {'args': ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars'],
                   'binary': shutil.which('chromium')}
        got = self.call('POST', '/session', {'capabilities': {'alwaysMatch': {
            'goog:chromeOptions': options, 'goog:loggingPrefs': {'browser': 'ALL'}}}})
        self.base = '/session/' + got['sessionId']

    def call(self, method, path, body=None):
        c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=PATIENCE)
        c.request(method, self.base + path, json.dumps(body) if body is not None else None)
        value = json.loads(c.getresponse().read())['value']
        assert not (isinstance(value, dict) and 'error' in value), value
        return value

    def open(self, url):
        self.call('POST', '/url', {'url': url})

    def js(self, script):
        """The value of an expression."""
        return self.call('POST', '/execute/sync', {'script': 'return ' + script, 'args': []})

    def click(self, selector):
        """The page may draw anew what was found before it is clicked on: then it is looked for again."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                found = self.call('POST', '/element', {'using': 'css selector', 'value': selector})
                self.call('POST', f'/element/{next(iter(found.values()))}/click', {})
                return
            except AssertionError as e:
                if time.monotonic() > end or e.args[0]['error'] not in ('stale element reference', 'no such element'):
                    raise

    def look(self, width, scheme):
        """As a screen of that width would show it, in light or dark."""
        cdp = '/goog/cdp/execute'
        self.call('POST', cdp, {'cmd': 'Emulation.setDeviceMetricsOverride', 'params': {
            'width': width, 'height': 900, 'deviceScaleFactor': 1, 'mobile': width < 500}})
        self.call('POST', cdp, {'cmd': 'Emulation.setEmulatedMedia', 'params': {
            'features': [{'name': 'prefers-color-scheme', 'value': scheme}]}})

    def complaints(self):
        return [e['message'] for e in self.call('POST', '/se/log', {'type': 'browser'}) if e['level'] in ('SEVERE', 'WARNING')]

    def picture(self, path):
        got = self.call('POST', '/goog/cdp/execute', {'cmd': 'Page.captureScreenshot', 'params': {
            'captureBeyondViewport': True, 'format': 'png', 'clip': {
                'x': 0, 'y': 0, 'scale': 1, 'width': self.js('document.documentElement.clientWidth'),
                'height': self.js('document.documentElement.scrollHeight')}}})
        with open(path, 'wb') as f:
            f.write(base64.b64decode(got['data']))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        try:
            self.call('DELETE', '')
        finally:
            self.driver.terminate()
            self.driver.wait(PATIENCE)
