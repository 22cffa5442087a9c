/*
 * Shared by the tests of the page layer and the pagers: a machine to run on,
 * files with known content, and mappings without maps.
 *
 * A test maps pages by pmap_enter() itself, into a pmap of its own, so that
 * nothing but the layer under test decides what happens to them.
 */
#ifndef TUVM_H
#define TUVM_H

#include <ktest.h>
#include <machine/softmmu.h>
#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_extern.h>

#define	TU_VA	0x10000000UL		/* where tu_map() puts page 0 */

/* Swap of the next machine: bytes (0: none), devices. */
extern uint64_t tu_swap;
extern int tu_swapdevs;
/* => UBC's windows; 0: as always */
extern int tu_ubc_windows;
/* => the next machine steals page tables */
extern bool tu_ptp_steal;
/* => events that each CPU of the next machine remembers */
extern uint64_t tu_history;
/* => lwp0 on CPU 0 of a machine with so many pages. */
void	tu_boot(int ncpus, uint64_t npages);
/* => checks the page invariants, then that nothing leaks. */
void	tu_shutdown(void);
/* => at rest: I-PG-1..4, 8, 10, I-STAT-1, 2. */
void	tu_check_pages(void);

/* => a file whose word at offset o is tu_word(o), with a reference. */
struct vnode *tu_file(voff_t size);
uint64_t tu_word(voff_t off);
/* => what the host's file holds. */
uint64_t tu_host_word(struct vnode *, voff_t off);
voff_t	tu_host_size(struct vnode *);

/* => one page by an unlocked get, BUSY; the get must succeed. */
struct vm_page *tu_get(struct uvm_object *, voff_t);
/* => as tu_get(), but the errno. */
int	tu_get_error(struct uvm_object *, voff_t, int flags);
/* => lets go of a BUSY page. */
void	tu_unbusy(struct vm_page *);
/* => owner not locked, page not busy: it is on loan to the kernel, read-only for everybody (R15).  By
 *    hand: uvm_loan() would copy a page that others refer to (R13) */
void	tu_lend(struct vm_page *);
/* => the page is resident: made so and let go. */
struct vm_page *tu_resident(struct uvm_object *, voff_t);
/* => the resident page, or NULL. */
struct vm_page *tu_lookup(struct uvm_object *, voff_t);
/* => pgo_put with the locking around it. */
int	tu_put(struct uvm_object *, voff_t, voff_t, int flags);
/* => the word of a page at a byte offset, past every mapping. */
uint64_t *tu_words(struct vm_page *);

/* => the pmap that the current LWP's accesses go through; tu_unmap_all() drops it. */
void	tu_map(struct vm_page *, int slot, vm_prot_t, unsigned flags);
bool	tu_mapped(int slot);
void	tu_load(int slot);
void	tu_store(int slot, uint64_t);
void	tu_unmap_all(void);

/* => counts of one event, on all CPUs. */
uint64_t tu_count(enum uvm_counter);
/* => so many have been counted, by another CPU, while we wait with whatever locks we hold */
void	tu_spin_until(enum uvm_counter, uint64_t least);
/* => free pages, with none left in CPUs' caches.  Thread context, no lock held; so is tu_take(). */
uint64_t tu_free(void);
/* => n un-owned pages taken away; tu_release() gives all back. */
uint64_t tu_take(uint64_t n, int flags);
/* => all that an ordinary allocation may have; idle pool pages too. */
void	tu_exhaust(void);
void	tu_release(void);
void	tu_release_one(void);
/* => an LWP that wants a page, waits for it with uvm_wait(), and gives it back; how often one
 *    waited, and how many had theirs */
void	tu_hungry(void *);
extern int tu_waiting, tu_got;		/* atomic */
/* => the condition holds.  Others may be kept from a core for seconds: patience costs nothing. */
#define	TU_WAIT(cond)	do {						\
	for (int tu_i_ = 0; !(cond) && tu_i_ < 100000; tu_i_++)		\
		kpause("tuwait", 1000000);				\
	CHECK(cond);							\
} while (0)

#endif /* TUVM_H */
