/*
 * The smallest VM floor on which the machine floor runs: page structures, a
 * free list, page table pages whose supply can be cut off, and a fault handler
 * that maps what a test declared.
 */
#ifndef TESTS_MACHINE_FAKEVM_H
#define TESTS_MACHINE_FAKEVM_H

#include <machine/pmap.h>
#include <machine/ram.h>
#include <machine/softmmu.h>
#include <sys/cpu.h>
#include <sys/kernel.h>

struct vm_page {
	struct vm_page_md	 md;	/* first, as the machine floor demands */
	struct vm_page		*next;	/* fv_lock: free list */
	bool			 busy;	/* fv_lock: not free */
};

/* => boots host, kernel and machine floors; the caller is lwp0 on CPU 0. */
void	fv_boot(int ncpu, bool software_rm);
/* => everything is back: pages, pv entries, PT pages; else panics. */
void	fv_shutdown(void);

struct vm_page *fv_alloc(void);			/* zeroed */
void	fv_free(struct vm_page *);
uint64_t fv_nfree(void);
static inline paddr_t
fv_pa(const struct vm_page *pg)
{
	return pg->md.md_pa;
}
static inline uint64_t *
fv_words(const struct vm_page *pg)
{
	return ram_host(pg->md.md_pa);
}
void	fv_fill(struct vm_page *, uint64_t word);

/* PT pages that may still be had; negative: any number.  Atomic. */
extern int fv_ptp_supply;
/* PT pages that are freed add to a limited supply; pmaps steal (before fv_boot()). */
extern bool fv_ptp_recycle, fv_steal;
/* Freed PT pages are filled with entries that lead to this page, if set: whoever walks them shows up. */
extern struct vm_page *fv_trap_page;
/* => uses pv entries up until there are none; gives them back. */
void	fv_pv_exhaust(void);
void	fv_pv_relax(void);

/* What the fault handler maps, for any pmap.  Declared while nobody faults. */
void	fv_declare(vaddr_t, struct vm_page *, vm_prot_t);
void	fv_forget(vaddr_t);
extern uint64_t fv_faults;			/* atomic: traps that reached the VM floor */

/* => an LWP that runs fn(arg) with pm as its pmap; fv_join() waits for it. */
struct lwp *fv_spawn(struct pmap *, const char *name, void (*fn)(void *), void *arg);
void	fv_join(struct lwp *);
/* => the current LWP uses pm (NULL: none). */
void	fv_use(struct pmap *);
/* => one turn of a test's own spin loop: takes interrupts, lets others run. */
void	fv_pause(unsigned *spins);
/* => after its last mapping. */
void	fv_destroy(struct pmap *);

/* Violations that were reported, by id; the world goes on. */
void	fv_expect_violations(void);
unsigned fv_violations(const char *id);
unsigned fv_violations_any(void);

/* Rounds of a loop: fewer where a sanitizer makes each one slow. */
unsigned fv_rounds(unsigned n);

#endif /* TESTS_MACHINE_FAKEVM_H */
