# SPDX-License-Identifier: BSD-2-Clause
"""mkman.py PROGRAM TEMPLATE OUT: a manual page from a template and from what the program says of itself.

A line @options COMMAND... becomes the options of `PROGRAM COMMAND --help`; those that were listed for
another command named after a slash (@options audit / run) are left out.  A line @list TOPIC becomes a
list of what `PROGRAM list TOPIC` has, @keys TOPIC likewise with what the keys take.  @rest is
the commands of --help that have no .Ss of their own.
"""

import json
import re
import subprocess
import sys
import textwrap


def ask(program, *words):
    return subprocess.run([program, *words], stdout=subprocess.PIPE, check=True).stdout.decode()


def options(program, command):
    """[(short or None, long, argument or None, help)] from the lines of --help."""
    found = []
    for line in ask(program, *command, '--help').splitlines():
        if m := re.fullmatch(r'  (?:-(\w),|   ) --([\w-]+)(?: (\S+))?\s+(\S.*)', line):
            found.append(m.groups())
    return found


def text(s):
    """Lines of mdoc: a sentence each, nothing in them a macro."""
    s = s.replace('\\', '\\e')
    if re.match(r'[a-z]+\b(?![(_.:-])', s):
        s = s[0].upper() + s[1:]
    s = s.replace('--', '\\-\\-')
    s = re.sub(r'(\w)\(\)', r'\1\\&()', s)        # not a function that mandoc would like marked up
    s = re.sub(r'`([^`]*)`', r"'\1'", s)
    return [('\\&' if part[0] in ".'" else '') + part for part in re.split(r'(?<=[a-z)]\.) (?=[A-Z])', s) if part]


def fold(line):
    """Lines that no editor minds; a break in a sentence means nothing to mdoc."""
    folded = textwrap.wrap(line, 78, break_long_words=False, break_on_hyphens=False)
    return ''.join(('\\&' if part[0] in ".'" else '') + part + '\n' for part in folded)


def rest(program, template):
    """Sections of the commands that the template has none for, with what they say of themselves."""
    there = {line.split()[2] for line in template if line.startswith('.Ss uvmstress ')}
    for name, meaning in re.findall(r'^  ([a-z]+) +(.*)', ask(program, '--help'), re.M):
        if name not in there:
            yield f'.Ss uvmstress {name}'
            yield from text(meaning[0].upper() + meaning[1:] + '.')
            yield from ['Usage:', f'.D1 {ask(program, name, "--help").splitlines()[0].removeprefix("usage: ")}']
            yield f'@options {name}'


def page(program, template):
    lines = []
    for line in template:
        lines += rest(program, template) if line.startswith('@rest') else [line]
    for line in lines:
        words = line.split()
        if not line.startswith('@'):
            yield line.rstrip('\n')
        elif words[0] == '@options':
            other = words.index('/') if '/' in words else len(words)
            left_out = {o[1] for o in options(program, words[other + 1:])} if other < len(words) else set()
            yield '.Bl -tag -width Ds'
            for short, name, arg, meaning in options(program, words[1:other]):
                if name in left_out:
                    continue
                yield '.It ' + (f'Fl {short} , ' if short else '') + f'Fl Fl {name}' + (f' Ar {arg}' if arg else '')
                yield from text(meaning + '.')
            yield '.El'
        else:
            yield '.Bl -tag -width Ds'
            for entry in json.loads(ask(program, 'list', words[1], '--json'))[words[1]]:
                yield '.It ' + ('Ic ' if words[0] == '@keys' else 'Cm ') + entry['name']
                if 'rank' in entry:
                    yield f'Rank {entry["rank"]}' + (f', IPL {entry["ipl"]}' if entry['ipl'] else ', an event') + \
                        f', {entry["nesting"]}.'
                yield from text(entry['help'] + '.')
                if words[0] == '@keys':
                    yield from text('Takes ' + entry['allowed'].replace('must be ', '') + '.')
                    if entry['default'] is not None:
                        yield 'Default:'
                        yield f'.Ql {entry["default"]} .'
                for option in entry.get('options', []):
                    yield '.br'
                    yield from text(f'{option["key"]}: {option["help"]}; {option["allowed"]}' +
                                    (f'; default {option["default"]}' if option['default'] is not None else '') + '.')
            yield '.El'


def main():
    program, template, out = sys.argv[1:]
    with open(template) as f:
        lines = list(page(program, list(f)))
    with open(out, 'w') as f:
        literal = False
        for line in lines:
            literal = line.startswith('.Bd') or literal and line != '.Ed'
            f.write(line + '\n' if literal or line.startswith('.') else fold(line))


main()
