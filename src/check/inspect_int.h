/*
 * The inspector's rooms: each walks one part of the machine at rest (see inspect.c),
 * reports what it finds wrong and returns how much that was.
 */
#ifndef CHECK_INSPECT_INT_H
#define CHECK_INSPECT_INT_H

#include <harness/checks.h>
#include <machine/vmparam.h>

struct ubc_map;
struct uvm_object;
struct uvmexp;
struct vm_anon;
struct vm_map;
struct vm_map_entry;
struct vm_page;

/* --- all of one kind; the machine stands --- */


unsigned inspect_km(void);		/* inspect_km.c: kernel address space */
unsigned inspect_limits(void);		/* inspect_stat.c: address spaces against RLIMIT_AS */
unsigned inspect_loans(void);		/* inspect_loan.c: who borrows each page */
unsigned inspect_ptes(void);		/* inspect_pte.c: mappings against maps and pages */
unsigned inspect_refs(void);		/* inspect_refs.c: references of anons, slots, objects, spaces */
unsigned inspect_events(const struct uvmexp *);	/* inspect_stat.c: event counters among themselves */
unsigned inspect_swap(unsigned contents);		/* inspect_swap.c: slots, their owners and their content */
unsigned inspect_ubc(void);		/* inspect_ubc.c: the windows of read() and write() */
unsigned inspect_files(unsigned contents);		/* inspect_ubc.c: clean file pages against their files */
unsigned inspect_wiring(void);		/* inspect_wire.c: who has wired each page, and each mapping */

/* --- one object, under its own lock, while everything runs --- */

unsigned inspect_page(struct vm_page *);	/* inspect.c: pageq held; its owner is tried */
unsigned inspect_anon(struct vm_anon *);	/* inspect_refs.c: anon locked */
unsigned inspect_object(struct uvm_object *);	/* inspect_refs.c: object locked; walks its pages */
/* inspect_pte.c: map(R); what is mapped at an address in the entry; takes amap, anon or object */
unsigned inspect_address(struct vm_map *, struct vm_map_entry *, vaddr_t);
unsigned inspect_window(const struct ubc_map *);	/* inspect_ubc.c: ubc_object locked */
unsigned inspect_waiters(void);			/* inspect.c: takes fpageq; who waits for memory */
unsigned inspect_sleepers(void);			/* inspect_sleep.c: who sleeps for what is there; takes their locks */
unsigned inspect_map_sleepers(struct vm_map *);	/* likewise: for the end of I/O to the map, or of its being busy; takes misc_lock */
unsigned inspect_swap_counts(void);		/* inspect_swap.c: takes swdata */

#endif /* CHECK_INSPECT_INT_H */
