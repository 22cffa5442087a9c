# SPDX-License-Identifier: BSD-2-Clause
"""embed.py NAME FILE OUT: FILE as a C array const char NAME[] and its NAME_size."""
import sys

name, source, out = sys.argv[1:]
with open(source, 'rb') as f:
    data = f.read()
with open(out, 'w') as f:
    f.write(f'#include <stddef.h>\nextern const char {name}[];\nextern const size_t {name}_size;\n')
    f.write(f'const char {name}[] = {{\n')
    for i in range(0, len(data), 20):
        f.write(','.join(str(b if b < 128 else b - 256) for b in data[i:i + 20]) + ',\n')
    f.write(f'0}};\nconst size_t {name}_size = {len(data)};\n')
