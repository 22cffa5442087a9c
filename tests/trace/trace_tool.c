/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The recorder and the reader as a command, without the rest of the program:
 *
 *	trace_tool record FILE CMD [ARG...]
 *	trace_tool info FILE
 */
#include <stdio.h>
#include <string.h>

#include <harness/trace.h>

int
main(int argc, char **argv)
{
	struct trace_error te = { "" };
	struct trace *tr;
	bool host = false;
	int status;

	if (argc >= 4 && strcmp(argv[1], "record") == 0) {
		status = trace_record(argv[2], argv + 3, &host, &te);
		if (status < 0)
			fprintf(stderr, "%s\n", te.msg);
		return status >= 0 ? status : host ? 3 : 2;
	}
	if (argc == 3 && strcmp(argv[1], "info") == 0) {
		tr = trace_open(argv[2], &te);
		if (tr == NULL) {
			fprintf(stderr, "%s\n", te.msg);
			return 2;
		}
		trace_info_print(tr, stdout);
		trace_close(tr);
		return 0;
	}
	fprintf(stderr, "usage: trace_tool record FILE CMD [ARG...] | info FILE\n");
	return 2;
}
