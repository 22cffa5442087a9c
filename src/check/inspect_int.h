/*
 * The inspector's rooms: each walks one part of the machine at rest (see inspect.c),
 * reports what it finds wrong and returns how much that was.
 */
#ifndef CHECK_INSPECT_INT_H
#define CHECK_INSPECT_INT_H

#include <harness/checks.h>

struct uvmexp;

unsigned inspect_km(void);		/* inspect_km.c: kernel address space */
unsigned inspect_loans(void);		/* inspect_loan.c: who borrows each page */
unsigned inspect_ptes(void);		/* inspect_pte.c: mappings against maps and pages */
unsigned inspect_refs(void);		/* inspect_refs.c: references of anons, slots, objects, spaces */
unsigned inspect_events(const struct uvmexp *);	/* inspect_stat.c: event counters among themselves */
unsigned inspect_swap(unsigned contents);		/* inspect_swap.c: slots, their owners and their content */
unsigned inspect_ubc(void);		/* inspect_ubc.c: the windows of read() and write() */
unsigned inspect_files(unsigned contents);		/* inspect_ubc.c: clean file pages against their files */
unsigned inspect_wiring(void);		/* inspect_wire.c: who has wired each page, and each mapping */

#endif /* CHECK_INSPECT_INT_H */
