/*
 * What the cases of pmap(9) on one CPU share: one address space, and what it shows.
 */
#ifndef TESTS_MACHINE_PMAP_CASE_H
#define TESTS_MACHINE_PMAP_CASE_H

#include "fakevm.h"

#include <errno.h>
#include <ktest.h>

#include "../../src/machine/pmap_private.h"

#define	VA		0x10000000UL
#define	KVA		VM_MIN_KERNEL_ADDRESS
#define	RO		VM_PROT_READ
#define	RW		(VM_PROT_READ | VM_PROT_WRITE)
#define	RX		(VM_PROT_READ | VM_PROT_EXECUTE)

static struct pmap *pm;			/* the current LWP's */

static inline void
begin(bool software_rm)
{
	fv_boot(1, software_rm);
	pm = pmap_create();
	fv_use(pm);
}

static inline void
end(void)
{
	pmap_remove(pm, 0, VM_MAXUSER_ADDRESS);
	pmap_update(pm);
	CHECK(pmap_check(pm) == 0);
	CHECK(pmap_ptp_count(pm) == 0);
	fv_destroy(pm);
	fv_shutdown();
}

static inline struct vm_page *
page_with(uint64_t word)
{
	struct vm_page *pg = fv_alloc();

	fv_fill(pg, word);
	return pg;
}

static inline bool
mapped_to(vaddr_t va, struct vm_page *pg)
{
	paddr_t pa;

	return pmap_extract(pm, va, &pa) ? pg != NULL && pa == fv_pa(pg) : pg == NULL;
}

static inline uint64_t
load(vaddr_t va)
{
	uint64_t val = 0;
	int error = user_load(va, &val);

	CHECK(error == 0);
	return val;
}

#endif /* TESTS_MACHINE_PMAP_CASE_H */
