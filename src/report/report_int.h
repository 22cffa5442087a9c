/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Between the files of the report.
 */
#ifndef REPORT_INT_H
#define REPORT_INT_H

#include <harness/result.h>

double per_second(double n, double seconds);	/* 0 when no time has passed */

/*
 * status_line: one line of --status-json, newline included, in fresh memory.
 * => outcome: NULL while the run goes on
 */
char *status_line(const char *event, const struct run_progress *, double ops_per_s,
    double faults_per_s, const char *outcome);

/* Violations; those that the graph, or NULL, knows as stories with both stacks. */
struct lockgraph;
void text_violations(const struct run_result *, const struct lockgraph *, FILE *);

/* The first screen of a report; and everything about one violation. */
void report_essence(const struct run_result *, FILE *);
void report_violation_body(const struct result_violation *, FILE *);

/*
 * report_sweep: what dead runs have left in the directory: entries PREFIXpid.tmp.
 * report_tmpdir: => a new directory, which nobody sweeps while the descriptor is open; -1 and errno.
 *    Signal-safe.
 */
bool report_maker_lives(long pid);	/* => and is somebody else */
void report_sweep(const char *dir, const char *prefix);
int report_tmpdir(const char *path);

/*
 * report_file: write one file.  => 0 or an errno; what was written may then be partial; sync: it is
 *    on the disk
 * report_make_dirs: => the path is a directory; or an errno
 * report_sync_dir: => the names in it are on the disk, if its file system can
 */
int report_file(const char *path, bool sync, void (*writer)(const void *, FILE *), const void *what);
int report_make_dirs(const char *path);
void report_sync_dir(const char *path);

/* Numbers for people: "1.2M", "812.3 MiB", "1.2 us". */
void human_count(double n, char *buf, size_t buflen);
void human_bytes(double n, char *buf, size_t buflen);
void human_time(double ns, char *buf, size_t buflen);

#endif /* REPORT_INT_H */
