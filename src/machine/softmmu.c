/*
 * The software MMU.
 *
 *	access -> TLB of this CPU -> walk of the page table -> trap
 *
 * The common case is a handful of instructions (mmu_hit): is an interrupt
 * waiting; the entry's tag against address, epoch and alignment at once; its
 * rights; and its frame's generation then and now (I-PMAP-6).  Everything else
 * is mmu_miss(), out of line, which takes interrupts, walks and traps until
 * there is an entry that permits the access.
 *
 * The walker does what hardware does, with no lock: it reads entries that pmap
 * changes by atomic operations, and sets REF, and for a store MOD, by a
 * compare-and-swap of the whole PTE, so that a PTE that has been taken away or
 * reduced in the meantime is not resurrected (S7).  With software-rm it sets
 * nothing: a bit that is missing is a trap to pmap (pmap_rm_fault).
 *
 * A TLB entry has W only if MOD was set when it was loaded: the first store
 * walks.  Nothing else ties the TLB to the page table; an entry lives until it
 * is invalidated, and a trap on one that is merely out of date ends with
 * another walk (T-28).
 *
 * A page of device registers is never in a TLB.  Its accesses come out of mmu_miss() as
 * MMU_REGISTER, with the frame in t_register, and are calls of the device; words only.
 *
 * Interrupts are taken between accesses only: from the look at ci_ipending to
 * the load or store there is no poll, and signals are masked (host_access_begin());
 * so a CPU that acknowledges a shootdown is never in the middle of a walk or of an access.
 *
 * For a race detector this file is bare (host/race.h): a TLB is its CPU's and the content of
 * frames nobody's; PTEs change atomically.  Whether a translation was good is checked at each hit.
 */
#include "pmap_private.h"

#include <errno.h>
#include <machine/softmmu.h>
#include <string.h>
#include <sys/kernel.h>
#include <sys/kernhist.h>

/* What a frame without page structure looks like, always: generation 0, not read-only. */
static const struct vm_page_md no_md;

#define	MMU_REGISTER	(-1)	/* the address is a device's register: not an errno */
#define	VAIN_MAX	100	/* faults that an access may take: whom the page daemon is after needs two */

/*
 * The TLB.
 */

/* => the entry that permits the access, now; NULL: see mmu_miss(). */
static inline __attribute__((always_inline)) struct tlb_entry *
mmu_hit(struct tlb *t, vaddr_t va, uint32_t need)
{
	struct tlb_entry *te = tlb_slot(t, va);

	if (__builtin_expect(te->te_tag != TLB_TAG(va, t->t_epoch), 0))
		return NULL;
	if (__builtin_expect((te->te_rights & need) != need, 0))
		return NULL;
	/* relaxed: pairs with ram_frame_freed(), which comes after our acknowledgement. */
	if (__builtin_expect(RELAXED_GET(te->te_md->md_generation) != te->te_gen, 0))
		return NULL;
	/* relaxed: pairs with pmap_page_readonly(), likewise */
	if ((need & PTE_W) != 0 && __builtin_expect(RELAXED_GET(te->te_md->md_readonly) != 0, 0))
		return NULL;
	RELAXED_SET(t->t_hits, t->t_hits + 1);
	return te;
}

static void
tlb_fill(struct tlb *t, vaddr_t va, uint64_t pte, uint32_t space)
{
	struct tlb_entry *te = tlb_slot(t, va);
	struct vm_page_md *md = ram_md(pte & PTE_FRAME);

	te->te_tag = TLB_TAG(trunc_page(va), t->t_epoch);
	te->te_host = frame_host(pte & PTE_FRAME);
	te->te_md = md != NULL ? md : &no_md;
	te->te_gen = RELAXED_GET(te->te_md->md_generation);
	te->te_rights = (pte & (PTE_R | PTE_X)) | space;
	if (pte & PTE_MOD)
		te->te_rights |= pte & PTE_W;
	kernhist_log(KE_tlb_fill, (uint32_t)atop(pte & PTE_FRAME), 0,
	    trunc_page(va) | (uint64_t)PTE_TO_PROT(te->te_rights));
}

/*
 * I-PMAP-6: this CPU could still reach a frame after it was freed.  I-LOAN-1: or still store
 * to one that is on loan.
 */
static void
tlb_stale(struct tlb *t, struct tlb_entry *te, vaddr_t va)
{
	uint32_t now = RELAXED_GET(te->te_md->md_generation);

	te->te_tag = 0;
	/* its history has the walk that filled the entry, and what became of the page then */
	if (te->te_md != &no_md)
		violation_about(KS_page, (uint32_t)atop(te->te_md->md_pa), te->te_md);
	violation_about(KS_va, 0, (const void *)va);
	if (now == te->te_gen) {
		violation(VIOL_TLB, "I-LOAN-1",
		    "CPU %d: TLB maps va 0x%llx writable to frame 0x%llx, which is on loan (R15)",
		    curcpu()->ci_index, (unsigned long long)va,
		    (unsigned long long)(te->te_host - ram_base));
		return;
	}
	violation(VIOL_TLB, "I-PMAP-6",
	    "CPU %d: TLB maps va 0x%llx to frame 0x%llx of generation %u, which has been freed: "
	    "generation %u now", curcpu()->ci_index, (unsigned long long)va,
	    (unsigned long long)(te->te_host - ram_base), te->te_gen, now);
}

/* => the TLB grants what nobody may have any more */
static bool
is_stale(const struct tlb_entry *te, uint32_t need)
{
	return RELAXED_GET(te->te_md->md_generation) != te->te_gen ||
	    ((need & te->te_rights & PTE_W) != 0 && RELAXED_GET(te->te_md->md_readonly) != 0);
}

void
tlb_flush(struct tlb *t)
{
	uint64_t epoch = t->t_epoch + TLB_EPOCH_ONE;

	if ((epoch & ~TLB_EPOCH_MASK) != 0) {
		for (int i = 0; i < TLB_ENTRIES; i++)
			t->t_entry[i].te_tag = 0;
		epoch = TLB_EPOCH_ONE;
	}
	RELAXED_SET(t->t_epoch, epoch);
}

static void
tlb_invalidate(struct tlb *t, vaddr_t va)
{
	struct tlb_entry *te = tlb_slot(t, va);

	if (te->te_tag == TLB_TAG(va, t->t_epoch))
		te->te_tag = 0;
}

void
tlb_invalidate_list(struct tlb *t, const vaddr_t *va, int nva)
{
	if (nva > LWP_TLB_VAS)
		tlb_flush(t);
	else
		for (int i = 0; i < nva; i++)
			tlb_invalidate(t, va[i]);
}

void
tlb_flush_all(void)
{
	tlb_flush(curtlb());
}

/*
 * The walker.
 */

enum walk { WALK_OK, WALK_RM, WALK_FAULT, WALK_REGISTER };

/* => WALK_OK: a TLB entry with the rights of need was loaded; WALK_REGISTER: none, t_register. */
static enum walk
mmu_walk(struct tlb *t, struct pmap *pm, vaddr_t va, uint32_t need)
{
	uint64_t pte, set, *ptep;

	ptep = pmap_pte(pm, va);
	if (ptep == NULL)
		return WALK_FAULT;
	pte = pte_load(ptep);
	set = PTE_REF | (need & PTE_W ? PTE_MOD : 0);
	for (;;) {
		if ((pte & PTE_V) == 0 || (need & PTE_RIGHTS & ~pte) != 0)
			return WALK_FAULT;
		if ((pte & set) == set)
			break;
		if (pmap_software_rm)
			return WALK_RM;
		/* S7: on failure pte is what is there now, and V is looked at again. */
		if (__atomic_compare_exchange_n(ptep, &pte, pte | set, false, __ATOMIC_ACQ_REL,
		    __ATOMIC_ACQUIRE)) {
			pte |= set;
			break;
		}
	}
	if (__builtin_expect(device_register(pte & PTE_FRAME), 0)) {
		t->t_register = pte & PTE_FRAME;
		return WALK_REGISTER;
	}
	tlb_fill(t, va, pte, need & TE_USER);
	return WALK_OK;
}

/*
 * => need: rights, and TE_USER for the current LWP's pmap; 0 without for the kernel's
 * => an access has begun; on an errno it has ended
 * => 0: *tep permits the access, until it ends; MMU_REGISTER: t_register is what is to be
 *    accessed, likewise; else errno
 */
static __attribute__((noinline)) int
mmu_miss(vaddr_t va, uint32_t need, struct tlb_entry **tep)
{
	bool user = (need & TE_USER) != 0;
	struct pmap *pm = user ? curlwp->l_pmap : &kernel_pmap;
	bool mapped = user ? va < VM_MAXUSER_ADDRESS :
	    va >= VM_MIN_KERNEL_ADDRESS && va < VM_MAX_KERNEL_ADDRESS;
	struct tlb_entry *te;
	unsigned vain = 0;
	struct tlb *t;
	int error;

	KASSERT(pm != NULL);
	if (user) {
		KASSERT(!cpu_intr_p());
		lockdebug_fault_barrier("access user memory");
	}
	for (;;) {
		host_access_end();
		if (!mapped)
			return EFAULT;
		host_point(HP_TLB, (uint32_t)curcpu()->ci_index);
		intr_poll();
		host_access_begin();
		t = curtlb();			/* a fault may have moved us */
		if (!user)
			pmap_tlb_join_kernel(t);
		else
			pmap_tlb_switch(t, pm);
		te = tlb_slot(t, va);
		if (te->te_tag == TLB_TAG(trunc_page(va), t->t_epoch) && is_stale(te, need))
			tlb_stale(t, te, va);
		if (mmu_hit(t, trunc_page(va), need) != NULL) {
			*tep = te;
			return 0;
		}
		switch (mmu_walk(t, pm, va, need)) {
		case WALK_OK:
			*tep = te;
			return 0;
		case WALK_REGISTER:
			return MMU_REGISTER;
		case WALK_RM:
			host_access_end();
			pmap_rm_fault(pm, va, need & PTE_RIGHTS);
			break;
		case WALK_FAULT:
			host_access_end();
			error = machine_upcall.mu_fault(pm, trunc_page(va), PTE_TO_PROT(need));
			if (error)
				return error;
			if (++vain == VAIN_MAX)
				violation(VIOL_HANG, "I-FLT-7", "va %#llx faults again and again: %u times "
				    "it was served, and is not mapped", (unsigned long long)va, vain);
			break;
		}
	}
}

/*
 * => host address of va, good for one access of this page: until host_access_end(), which is
 *    the caller's; NULL: *errorp, and the access has ended, unless it is MMU_REGISTER
 */
static inline __attribute__((always_inline)) void *
mmu_access(vaddr_t va, uint32_t need, int *errorp)
{
	struct cpu_info *ci = curcpu();
	struct tlb_entry *te = NULL;

	host_access_begin();
	/* relaxed: pairs with intr_post(), which wakes whoever must not miss it. */
	if (__builtin_expect(__atomic_load_n(&ci->ci_ipending, __ATOMIC_RELAXED) == 0, 1))
		te = mmu_hit(ci->ci_md, va, need);
	if (__builtin_expect(te == NULL, 0)) {
		*errorp = mmu_miss(va, need, &te);
		if (*errorp)
			return NULL;
	}
	return te->te_host + (va & PAGE_MASK);
}

/*
 * Words.  relaxed: simulated user data; its order is the simulated program's affair.
 */

/* => MMU_REGISTER: the load is the device's; an errno: that */
static __attribute__((noinline)) int
register_load(vaddr_t va, int error, uint64_t *valp)
{
	paddr_t pa;

	if (error != MMU_REGISTER)
		return error;
	pa = curtlb()->t_register | (va & PAGE_MASK);
	host_access_end();
	*valp = device_load(pa);
	return 0;
}

static __attribute__((noinline)) int
register_store(vaddr_t va, int error, uint64_t val)
{
	paddr_t pa;

	if (error != MMU_REGISTER)
		return error;
	pa = curtlb()->t_register | (va & PAGE_MASK);
	host_access_end();
	device_store(pa, val);
	return 0;
}

/* What is not a word's load or store has no meaning to a device. */
static int
no_register(int error)
{
	if (error != MMU_REGISTER)
		return error;
	host_access_end();
	return EIO;
}

static inline __attribute__((always_inline)) int
word_load(vaddr_t va, uint32_t space, uint64_t *valp)
{
	uint64_t *word;
	int error;

	if (__builtin_expect((va & 7) != 0, 0))
		return EINVAL;
	word = mmu_access(va, PTE_R | space, &error);
	if (__builtin_expect(word == NULL, 0))
		return register_load(va, error, valp);
	*valp = __atomic_load_n(word, __ATOMIC_RELAXED);
	host_access_end();
	return 0;
}

static inline __attribute__((always_inline)) int
word_store(vaddr_t va, uint32_t space, uint64_t val)
{
	uint64_t *word;
	int error;

	if (__builtin_expect((va & 7) != 0, 0))
		return EINVAL;
	word = mmu_access(va, PTE_W | space, &error);
	if (__builtin_expect(word == NULL, 0))
		return register_store(va, error, val);
	__atomic_store_n(word, val, __ATOMIC_RELAXED);
	host_access_end();
	return 0;
}

int
user_load(vaddr_t va, uint64_t *valp)
{
	return word_load(va, TE_USER, valp);
}

int
user_store(vaddr_t va, uint64_t val)
{
	return word_store(va, TE_USER, val);
}

int
kern_load(vaddr_t va, uint64_t *valp)
{
	return word_load(va, 0, valp);
}

int
kern_store(vaddr_t va, uint64_t val)
{
	return word_store(va, 0, val);
}

/* => the simulated programs' locks are made of it, so it orders everything. */
int
user_cas(vaddr_t va, uint64_t expect, uint64_t desired, uint64_t *seen)
{
	uint64_t *word;
	int error;

	if ((va & 7) != 0)
		return EINVAL;
	word = mmu_access(va, PTE_R | PTE_W | TE_USER, &error);
	if (word == NULL)
		return no_register(error);
	__atomic_compare_exchange_n(word, &expect, desired, false, __ATOMIC_SEQ_CST,
	    __ATOMIC_SEQ_CST);
	host_access_end();
	*seen = expect;
	return 0;
}

int
user_fetch(vaddr_t va)
{
	int error;

	if (mmu_access(trunc_page(va), PTE_X | TE_USER, &error) == NULL)
		return no_register(error);
	host_access_end();
	return 0;
}

/*
 * Bytes.  One page at a time is one access; inside it whole words move as words,
 * so that a copy never shows half of a word that a user stores.
 */

static void
bytes_from_user(uint8_t *to, const uint8_t *from, size_t n)
{
	uint64_t word;

	while (n > 0) {
		if (((uintptr_t)from & 7) == 0 && n >= sizeof(word)) {
			word = __atomic_load_n((const uint64_t *)(const void *)from,
			    __ATOMIC_RELAXED);
			memcpy(to, &word, sizeof(word));
			to += sizeof(word), from += sizeof(word), n -= sizeof(word);
		} else {
			*to++ = __atomic_load_n(from++, __ATOMIC_RELAXED);
			n--;
		}
	}
}

static void
bytes_to_user(uint8_t *to, const uint8_t *from, size_t n)
{
	uint64_t word;

	while (n > 0) {
		if (((uintptr_t)to & 7) == 0 && n >= sizeof(word)) {
			memcpy(&word, from, sizeof(word));
			__atomic_store_n((uint64_t *)(void *)to, word, __ATOMIC_RELAXED);
			to += sizeof(word), from += sizeof(word), n -= sizeof(word);
		} else {
			__atomic_store_n(to++, *from++, __ATOMIC_RELAXED);
			n--;
		}
	}
}

static size_t
to_page_end(vaddr_t va, size_t len)
{
	size_t n = PAGE_SIZE - (va & PAGE_MASK);

	return n < len ? n : len;
}

int
kern_read(vaddr_t va, void *to, size_t len, size_t *donep)
{
	int error;

	for (*donep = 0; *donep < len;) {
		size_t n = to_page_end(va + *donep, len - *donep);
		const uint8_t *page = mmu_access(trunc_page(va + *donep), PTE_R, &error);

		if (page == NULL)
			return no_register(error);
		bytes_from_user((uint8_t *)to + *donep, page + ((va + *donep) & PAGE_MASK), n);
		host_access_end();
		*donep += n;
	}
	return 0;
}

int
kern_write(vaddr_t va, const void *from, size_t len, size_t *donep)
{
	int error;

	for (*donep = 0; *donep < len;) {
		size_t n = to_page_end(va + *donep, len - *donep);
		uint8_t *page = mmu_access(trunc_page(va + *donep), PTE_W, &error);

		if (page == NULL)
			return no_register(error);
		bytes_to_user(page + ((va + *donep) & PAGE_MASK), (const uint8_t *)from + *donep,
		    n);
		host_access_end();
		*donep += n;
	}
	return 0;
}

int
copyin(vaddr_t uaddr, void *kaddr, size_t len)
{
	uint8_t *to = kaddr;
	int error;

	while (len > 0) {
		size_t n = to_page_end(uaddr, len);
		const uint8_t *page = mmu_access(trunc_page(uaddr), PTE_R | TE_USER, &error);

		if (page == NULL)
			return no_register(error);
		bytes_from_user(to, page + (uaddr & PAGE_MASK), n);
		host_access_end();
		to += n, uaddr += n, len -= n;
	}
	return 0;
}

int
copyout(const void *kaddr, vaddr_t uaddr, size_t len)
{
	const uint8_t *from = kaddr;
	int error;

	while (len > 0) {
		size_t n = to_page_end(uaddr, len);
		uint8_t *page = mmu_access(trunc_page(uaddr), PTE_W | TE_USER, &error);

		if (page == NULL)
			return no_register(error);
		bytes_to_user(page + (uaddr & PAGE_MASK), from, n);
		host_access_end();
		from += n, uaddr += n, len -= n;
	}
	return 0;
}

/*
 * Kernel to user and back.  Two translations must be good at the same moment.  One that
 * was found stays good until interrupts are polled, so: the user's first, which may trap
 * and sleep; then the kernel's, but without a poll or a trap.  If that one is not there
 * either, it is fetched by an access of its own, and both are looked for again.
 */

/* => host address of va, with neither trap nor poll; NULL: not to be had so. */
static uint8_t *
mmu_peek(vaddr_t va, uint32_t need)
{
	bool user = (need & TE_USER) != 0;
	struct tlb *t = curtlb();
	struct tlb_entry *te = tlb_slot(t, va);

	if (user ? va >= VM_MAXUSER_ADDRESS :
	    va < VM_MIN_KERNEL_ADDRESS || va >= VM_MAX_KERNEL_ADDRESS)
		return NULL;
	if (user)
		pmap_tlb_switch(t, curlwp->l_pmap);
	else
		pmap_tlb_join_kernel(t);
	if (te->te_tag == TLB_TAG(trunc_page(va), t->t_epoch) && is_stale(te, need))
		return NULL;			/* the access proper will tell (I-PMAP-6) */
	if (mmu_hit(t, trunc_page(va), need) == NULL &&
	    mmu_walk(t, user ? curlwp->l_pmap : &kernel_pmap, va, need) != WALK_OK)
		return NULL;
	return te->te_host + (va & PAGE_MASK);
}

/* What a user's mapping answers becomes the system call's errno (uvm-spec 16). */
static int
user_error(int error)
{
	return error == ENOMEM ? ENOMEM : EFAULT;
}

/*
 * => 0: *up and *kp are good until host_access_end(), which is the caller's; else errno
 */
static int
mmu_pair(vaddr_t uva, uint32_t uneed, vaddr_t kva, uint32_t kneed, uint8_t **up, uint8_t **kp)
{
	int error;

	for (;;) {
		*up = mmu_access(trunc_page(uva), uneed | TE_USER, &error);
		if (*up == NULL)
			return user_error(no_register(error));
		*up += uva & PAGE_MASK;
		*kp = mmu_peek(kva, kneed);
		if (*kp != NULL)
			return 0;
		host_access_end();
		if (mmu_access(trunc_page(kva), kneed, &error) == NULL)
			return no_register(error);
		host_access_end();
	}
}

/* => as mmu_pair(), but it never sleeps: EBUSY */
static int
mmu_pair_nofault(vaddr_t uva, uint32_t uneed, vaddr_t kva, uint32_t kneed, uint8_t **up,
    uint8_t **kp)
{
	intr_poll();
	host_access_begin();
	*up = mmu_peek(uva, uneed | TE_USER);
	*kp = mmu_peek(kva, kneed);
	if (*up != NULL && *kp != NULL)
		return 0;
	host_access_end();
	return EBUSY;
}

/* relaxed: both sides may be loaded and stored by others, see bytes_from_user(). */
static void
bytes_move(uint8_t *to, const uint8_t *from, size_t n)
{
	while (n > 0) {
		if ((((uintptr_t)to | (uintptr_t)from) & 7) == 0 && n >= sizeof(uint64_t)) {
			__atomic_store_n((uint64_t *)(void *)to,
			    __atomic_load_n((const uint64_t *)(const void *)from, __ATOMIC_RELAXED),
			    __ATOMIC_RELAXED);
			to += 8, from += 8, n -= 8;
		} else {
			__atomic_store_n(to++, __atomic_load_n(from++, __ATOMIC_RELAXED),
			    __ATOMIC_RELAXED);
			n--;
		}
	}
}

int
copyin_kva(vaddr_t uaddr, vaddr_t kva, size_t len, bool nofault, size_t *donep)
{
	uint8_t *from, *to;
	size_t n;
	int error;

	for (*donep = 0; len > 0; uaddr += n, kva += n, len -= n, *donep += n) {
		n = to_page_end(kva, to_page_end(uaddr, len));
		error = nofault ? mmu_pair_nofault(uaddr, PTE_R, kva, PTE_W, &from, &to) :
		    mmu_pair(uaddr, PTE_R, kva, PTE_W, &from, &to);
		if (error != 0)
			return error;
		bytes_move(to, from, n);
		host_access_end();
	}
	return 0;
}

int
copyout_kva(vaddr_t kva, vaddr_t uaddr, size_t len, size_t *donep)
{
	uint8_t *from, *to;
	size_t n;
	int error;

	for (*donep = 0; len > 0; uaddr += n, kva += n, len -= n, *donep += n) {
		n = to_page_end(kva, to_page_end(uaddr, len));
		error = mmu_pair(uaddr, PTE_W, kva, PTE_R, &to, &from);
		if (error != 0)
			return error;
		bytes_move(to, from, n);
		host_access_end();
	}
	return 0;
}

int
kern_zero(vaddr_t kva, size_t len)
{
	static const uint64_t zeroes[PAGE_SIZE / 8];
	int error;

	while (len > 0) {
		size_t n = to_page_end(kva, len);
		uint8_t *page = mmu_access(trunc_page(kva), PTE_W, &error);

		if (page == NULL)
			return no_register(error);
		bytes_to_user(page + (kva & PAGE_MASK), (const uint8_t *)zeroes, n);
		host_access_end();
		kva += n, len -= n;
	}
	return 0;
}
