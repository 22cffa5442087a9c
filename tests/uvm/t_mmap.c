/*
 * System calls: errors of section 16 as a table, and what each call does.
 */
#include "tmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sys/inject.h>

#define	NPAGES	4096
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)
#define	R	VM_PROT_READ
#define	MIN	VM_MIN_ADDRESS
#define	MAX	VM_MAXUSER_ADDRESS
#define	P	PAGE_SIZE
#define	HUGE	((vsize_t)-1)

static struct vnode *vp;

static void
begin(void)
{
	tm_boot(1, NPAGES);
	vp = tu_file(ptoa(8));
}

static void
end(void)
{
	vrele(vp);
	tm_shutdown();
}

/* --- the table --- */

static int
do_mmap(vaddr_t va, vsize_t len, int prot, int flags, bool file, int fflags, voff_t pos)
{
	return sys_mmap(tm_proc, &va, len, prot, flags, file ? vp : NULL, fflags, pos);
}

#define	ANONP	(UMAP_ANON | UMAP_PRIVATE)
#define	FIXED	UMAP_FIXED

static const struct mmap_case {
	vaddr_t	va;
	vsize_t	len;
	int	prot, flags;
	bool	file;
	int	fflags;
	voff_t	pos;
	int	error;
} mmap_cases[] = {
	{ 0, P, RW, ANONP | UMAP_SHARED, false, 0, 0, EINVAL },
	{ 0, P, RW, ANONP, true, UF_READ, 0, EINVAL },
	{ 0, P, RW, UMAP_PRIVATE, false, 0, 0, EBADF },
	{ 0, P, 8, ANONP, false, 0, 0, EINVAL },
	{ 0, P, RW, UMAP_SHARED, true, UF_READ, 0, EACCES },
	{ 0, P, R, UMAP_SHARED, true, UF_WRITE, 0, EACCES },
	{ 0, P, R, UMAP_PRIVATE, true, UF_WRITE, 0, EACCES },
	{ 0, P, RW, UMAP_PRIVATE, true, UF_READ, 0, 0 },
	{ 0, P, R, UMAP_SHARED, true, UF_READ, 0, 0 },
	{ 0, P, RW, UMAP_SHARED, true, UF_READ | UF_WRITE, 0, 0 },
	{ 0, P, R, UMAP_PRIVATE, true, UF_READ, -1, EINVAL },
	{ 0, P, R, UMAP_PRIVATE, true, UF_READ, INT64_MAX - 100, EOVERFLOW },
	{ 0, INT64_MAX, R, UMAP_PRIVATE, true, UF_READ, P, EOVERFLOW },
	{ 0, HUGE, R, UMAP_PRIVATE, true, UF_READ, P, EOVERFLOW },
	{ 0, 0, RW, ANONP, false, 0, 0, 0 },
	{ 0, P, RW, UMAP_ANON, false, 0, 0, 0 },		/* neither: private */
	{ 0, P, RW, UMAP_ANON | UMAP_SHARED, false, 0, 0, 0 },
	{ TM_BASE + 8, P, RW, ANONP | FIXED, false, 0, 0, EINVAL },
	{ TM_BASE, P, R, UMAP_PRIVATE | FIXED, true, UF_READ, 8, EINVAL },
	{ TM_BASE + 8, P - 8, R, UMAP_PRIVATE | FIXED, true, UF_READ, 8, 0 },
	{ 0, P, RW, ANONP | FIXED, false, 0, 0, EINVAL },	/* below the lowest address */
	{ MAX, P, RW, ANONP | FIXED, false, 0, 0, EFBIG },
	{ MAX - P, P, RW, ANONP | FIXED, false, 0, 0, 0 },
	{ MAX - P, P + 1, RW, ANONP | FIXED, false, 0, 0, EFBIG },
	{ TM_BASE, HUGE, RW, ANONP | FIXED, false, 0, 0, EOVERFLOW },
	{ TM_BASE, HUGE - TM_BASE, RW, ANONP | FIXED, false, 0, 0, EFBIG },
	{ 0, HUGE, RW, ANONP, false, 0, 0, ENOMEM },
	{ 0, MAX, RW, ANONP, false, 0, 0, ENOMEM },
	{ 0, 1UL << 44, RW, UMAP_ANON | UMAP_SHARED, false, 0, 0, ENOMEM },
	{ 0, ptoa(NPAGES), RW, ANONP | UMAP_WIRED, false, 0, 0, ENOMEM },
	{ 0, P, VM_PROT_NONE, ANONP | UMAP_WIRED, false, 0, 0, 0 },	/* and is not wired */
};

KTEST(mmap_errors, "mmap answers each bad argument with its error, and maps nothing then")
{
	begin();
	for (size_t i = 0; i < sizeof(mmap_cases) / sizeof(mmap_cases[0]); i++) {
		const struct mmap_case *c = &mmap_cases[i];
		int error = do_mmap(c->va, c->len, c->prot, c->flags, c->file, c->fflags, c->pos);

		if (error != c->error)
			ktest_fail(__FILE__, __LINE__, "row %zu: error %d, not %d", i, error, c->error);
		CHECK_EQ(tm_map(tm_proc)->nentries != 0, error == 0 && c->len != 0);
		uvm_unmap(tm_map(tm_proc), MIN, MAX);
		CHECK_EQ(vp->v_uobj.uo_refs, 1);
	}
	end();
}

enum call { MUNMAP, MPROTECT, MINHERIT, MADVISE, MSYNC, MLOCK, MUNLOCK };

/* Lane: two accessible pages, a hole, one without rights, one read only file page. */
#define	OK	TM_VA(0)
#define	HOLE	TM_VA(2)
#define	NORIGHT	TM_VA(3)
#define	RDFILE	TM_VA(4)

static const struct range_case {
	enum call	call;
	vaddr_t		va;
	vsize_t		len;
	int		arg;
	int		error;
} range_cases[] = {
	{ MUNMAP, OK, HUGE, 0, EINVAL },
	{ MUNMAP, MIN - P, P, 0, EINVAL },
	{ MUNMAP, MAX, P, 0, EINVAL },
	{ MUNMAP, MAX - P, P + 1, 0, EINVAL },
	{ MUNMAP, OK, 0, 0, 0 },
	{ MUNMAP, TM_VA(40), ptoa(4), 0, 0 },
	{ MPROTECT, OK, P, 8, EINVAL },
	{ MPROTECT, OK, HUGE, R, EINVAL },
	{ MPROTECT, MAX, P, R, EINVAL },
	{ MPROTECT, RDFILE, P, RW, EACCES },
	{ MPROTECT, OK, 0, R, 0 },
	{ MPROTECT, OK, ptoa(2), RW, 0 },
	{ MINHERIT, OK, P, 3, EINVAL },
	{ MINHERIT, OK, P, -1, EINVAL },
	{ MINHERIT, OK, HUGE, MAP_INHERIT_NONE, EINVAL },
	{ MINHERIT, OK, P, MAP_INHERIT_COPY, 0 },
	{ MADVISE, OK, P, UMADV_SPACEAVAIL, EINVAL },
	{ MADVISE, OK, P, 77, EINVAL },
	{ MADVISE, OK, P, -1, EINVAL },
	{ MADVISE, OK, HUGE, UMADV_NORMAL, EINVAL },
	{ MADVISE, OK, P, UMADV_WILLNEED, 0 },
	{ MADVISE, OK, ptoa(2), UMADV_SEQUENTIAL, 0 },
	{ MADVISE, OK, ptoa(2), UMADV_NORMAL, 0 },
	{ MADVISE, OK, ptoa(2), UMADV_DONTNEED, 0 },
	{ MADVISE, OK, ptoa(3), UMADV_DONTNEED, ENOMEM },
	{ MADVISE, OK, ptoa(3), UMADV_FREE, ENOMEM },
	{ MSYNC, OK, P, UMS_ASYNC | UMS_SYNC, EINVAL },
	{ MSYNC, OK, P, 16, EINVAL },
	{ MSYNC, OK, HUGE, UMS_SYNC, EINVAL },
	{ MSYNC, OK, ptoa(3), UMS_SYNC, ENOMEM },
	{ MSYNC, HOLE, P, UMS_SYNC, ENOMEM },
	{ MSYNC, OK, ptoa(2), UMS_SYNC, 0 },
	{ MSYNC, OK, ptoa(2), 0, 0 },
	{ MSYNC, RDFILE, P, UMS_ASYNC, 0 },
	{ MSYNC, RDFILE, P, UMS_SYNC | UMS_INVALIDATE, 0 },
	{ MSYNC, OK, 0, UMS_SYNC, 0 },
	{ MLOCK, OK, HUGE, 0, EINVAL },
	{ MLOCK, HOLE, P, 0, ENOMEM },			/* EFAULT inside */
	{ MLOCK, OK, ptoa(3), 0, EINVAL },		/* hole in the middle */
	{ MLOCK, NORIGHT, P, 0, EINVAL },
	{ MLOCK, OK, ptoa(NPAGES), 0, EAGAIN },
	{ MLOCK, OK, 0, 0, 0 },
	{ MUNLOCK, OK, P, 0, EINVAL },			/* not wired */
	{ MUNLOCK, HOLE, P, 0, ENOMEM },
	{ MUNLOCK, OK, HUGE, 0, EINVAL },
	{ MLOCK, OK, P, 0, 0 },
	{ MUNLOCK, OK, ptoa(2), 0, EINVAL },		/* the second page is not */
	{ MSYNC, OK, P, UMS_INVALIDATE, EBUSY },
	{ MADVISE, OK, P, UMADV_FREE, EBUSY },
	{ MUNLOCK, OK, P, 0, 0 },
	{ MLOCK, RDFILE + 7, 1, 0, 0 },			/* rounded outward */
	{ MUNLOCK, RDFILE + 8, 1, 0, 0 },
};

static int
do_call(const struct range_case *c)
{
	switch (c->call) {
	case MUNMAP:	return sys_munmap(tm_proc, c->va, c->len);
	case MPROTECT:	return sys_mprotect(tm_proc, c->va, c->len, c->arg);
	case MINHERIT:	return sys_minherit(tm_proc, c->va, c->len, c->arg);
	case MADVISE:	return sys_madvise(tm_proc, c->va, c->len, c->arg);
	case MSYNC:	return sys_msync(tm_proc, c->va, c->len, c->arg);
	case MLOCK:	return sys_mlock(tm_proc, c->va, c->len);
	case MUNLOCK:	return sys_munlock(tm_proc, c->va, c->len);
	}
	abort();
}

static void
lane(void)
{
	vaddr_t va = RDFILE;

	tm_put(tm_proc, "aa.a");
	CHECK_EQ(sys_mprotect(tm_proc, NORIGHT, P, VM_PROT_NONE), 0);
	CHECK_EQ(sys_mmap(tm_proc, &va, P, R, UMAP_SHARED | UMAP_FIXED, vp, UF_READ, 0), 0);
}

KTEST(range_call_errors, "each call answers each bad range or argument with its error")
{
	begin();
	lane();
	tm_store(0, 1);
	tm_store(1, 2);
	for (size_t i = 0; i < sizeof(range_cases) / sizeof(range_cases[0]); i++) {
		int error = do_call(&range_cases[i]);

		if (error != range_cases[i].error)
			ktest_fail(__FILE__, __LINE__, "row %zu: error %d, not %d", i, error,
			    range_cases[i].error);
		tm_check(tm_proc);
	}
	CHECK_EQ(tm_load(1), 2);
	end();
}

KTEST(other_call_errors, "mincore, mlockall, brk, mremap and shmat answer bad arguments with their errors")
{
	unsigned char vec[8];
	vaddr_t va;

	begin();
	lane();
	CHECK_EQ(sys_mincore(tm_proc, OK + 1, P, vec), EINVAL);
	CHECK_EQ(sys_mincore(tm_proc, OK, 0, vec), EINVAL);
	CHECK_EQ(sys_mincore(tm_proc, OK, ptoa(3), vec), ENOMEM);
	CHECK_EQ(sys_mincore(tm_proc, HOLE, P, vec), ENOMEM);
	CHECK_EQ(sys_mincore(tm_proc, OK, HUGE, vec), EINVAL);
	CHECK_EQ(sys_mlockall(tm_proc, 0), EINVAL);
	CHECK_EQ(sys_mlockall(tm_proc, 4), EINVAL);
	CHECK_EQ(sys_obreak(tm_proc, tm_proc->p_vmspace->vm_daddr - 1), EINVAL);
	CHECK_EQ(sys_obreak(tm_proc, MAX + P), ENOMEM);
	CHECK_EQ(sys_obreak(tm_proc, HUGE), ENOMEM);
	va = 0;
	CHECK_EQ(sys_mremap(tm_proc, OK + 1, P, &va, P, false), EINVAL);
	CHECK_EQ(sys_mremap(tm_proc, OK, 0, &va, P, false), EINVAL);
	CHECK_EQ(sys_mremap(tm_proc, OK, P, &va, 0, false), EINVAL);
	CHECK_EQ(sys_mremap(tm_proc, OK, P, &va, HUGE, false), EINVAL);
	CHECK_EQ(sys_mremap(tm_proc, OK, HUGE, &va, P, false), EINVAL);
	CHECK_EQ(sys_mremap(tm_proc, OK, HUGE - OK, &va, P, false), EINVAL);
	va = TM_VA(20);
	CHECK_EQ(sys_mremap(tm_proc, OK, P, &va, HUGE - va, true), EINVAL);
	CHECK_EQ(sys_mremap(tm_proc, HOLE, P, &va, ptoa(2), false), EFAULT);
	va = TM_VA(1);
	CHECK_EQ(sys_mremap(tm_proc, OK, ptoa(2), &va, ptoa(2), true), EINVAL);
	va = TM_VA(20) + 1;
	CHECK_EQ(sys_mremap(tm_proc, OK, ptoa(2), &va, ptoa(2), true), EINVAL);
	va = TM_VA(1);
	CHECK(sys_shmat(tm_proc, tm_obj, &va, RW) != 0);
	va = TM_VA(1) + 1;
	CHECK_EQ(sys_shmat(tm_proc, tm_obj, &va, RW), EINVAL);
	va = 0;
	CHECK_EQ(sys_shmat(tm_proc, tm_obj, &va, VM_PROT_EXECUTE), EINVAL);
	TM_SHAPE(tm_proc, "aa.bc");
	end();
}

/* --- what the calls do --- */

KTEST(mmap_keeps_the_offset_in_the_page, "a file offset inside a page comes back in the address, and munmap rounds outward")
{
	vaddr_t va = 0;
	uint64_t w;

	begin();
	CHECK_EQ(sys_mmap(tm_proc, &va, P, R, UMAP_PRIVATE, vp, UF_READ, P + 16), 0);
	CHECK_EQ(va & PAGE_MASK, 16);
	CHECK(va >= VM_MMAP_ADDRESS);		/* it was all the same where */
	CHECK_EQ(user_load(va, &w), 0);
	CHECK_EQ(w, tu_word(P + 16));
	CHECK_EQ(user_load(va + P - 16, &w), 0);
	CHECK_EQ(w, tu_word(2 * P));
	CHECK_EQ(sys_munmap(tm_proc, va, P), 0);
	CHECK_EQ(tm_map(tm_proc)->nentries, 0);
	end();
}

KTEST(mapping_holds_the_file, "a mapping has a reference to its vnode from mmap to munmap, through splits")
{
	vaddr_t va = TM_BASE;

	begin();
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(8), R, UMAP_PRIVATE | UMAP_FIXED, vp, UF_READ, 0), 0);
	CHECK_EQ(vp->v_uobj.uo_refs, 2);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(3), P), 0);
	CHECK_EQ(vp->v_uobj.uo_refs, 3);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(8)), 0);
	CHECK_EQ(vp->v_uobj.uo_refs, 1);
	end();
}

KTEST(who_may_store_may_load, "the machine has no right to store alone: mmap, mprotect and shmat give the other, too; no right stays none")
{
	vaddr_t va = TM_VA(0);

	begin();
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2), VM_PROT_WRITE, ANONP | FIXED, NULL, 0, 0), 0);
	tm_store(0, 1);
	CHECK_EQ(tm_load(0), 1);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), P, VM_PROT_NONE), 0);
	CHECK_EQ(tm_load_error(0), EACCES);
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), P, VM_PROT_WRITE), 0);
	CHECK_EQ(tm_load(0), 1);
	va = TM_VA(4);
	CHECK_EQ(sys_shmat(tm_proc, tm_obj, &va, VM_PROT_WRITE), 0);
	tm_store(4, 2);
	CHECK_EQ(tm_load(4), 2);
	end();
}

KTEST(what_is_alive_is_counted, "entries, amaps, anons, address spaces, files and objects, and what pages they have")
{
	struct uvmexp before, now;
	struct proc *other;

	begin();
	uvm_stat_get(&before);
	CHECK(before.nvmspace == 1 && before.nvnode == 1 && before.naobj == 1);
	tm_put(tm_proc, "aa.o");
	for (int i = 0; i < 4; i++)
		if (i != 2)
			tm_store(i, 1);
	CHECK_EQ(proc_create("other", &other), 0);
	uvm_stat_get(&now);
	CHECK(now.nvmspace == 2 && now.nvnode == 1 && now.naobj == 1);
	CHECK_EQ(now.nmapent, before.nmapent + 2);
	CHECK_EQ(now.namap, before.namap + 1);
	CHECK_EQ(now.nanon, before.nanon + 2);
	CHECK_EQ(now.anonpages, before.anonpages + 2);
	CHECK_EQ(now.aobjpages, before.aobjpages + 1);
	CHECK(now.ptpages > before.ptpages);
	CHECK(now.reserve_pagedaemon == 4 && now.reserve_kernel == 10 && now.freemin == 32 && now.freetarg == 42);
	CHECK(now.wiredmax == uvm.wiredmax && now.inactarg == uvm.inactarg && now.npages == NPAGES);
	proc_exit(other);
	end();
}

KTEST(private_file_mapping_leaves_the_file_alone, "stores to a private mapping are not seen by a shared one")
{
	vaddr_t a = TM_VA(0), b = TM_VA(4);

	begin();
	CHECK_EQ(sys_mmap(tm_proc, &a, ptoa(2), RW, UMAP_PRIVATE | FIXED, vp, UF_READ, 0), 0);
	CHECK_EQ(sys_mmap(tm_proc, &b, ptoa(2), RW, UMAP_SHARED | FIXED, vp, UF_READ | UF_WRITE, 0), 0);
	tm_store(0, 1);
	CHECK_EQ(tm_load(4), tu_word(0));
	tm_store(5, 2);
	CHECK_EQ(tm_load(1), 2);
	CHECK_EQ(sys_msync(tm_proc, TM_VA(4), ptoa(2), UMS_SYNC), 0);
	CHECK_EQ(tu_host_word(vp, P), 2);
	CHECK_EQ(tu_host_word(vp, 0), tu_word(0));
	end();
}

/* B-26: the limit is looked at before the old mapping goes. */
KTEST(B26_mmap_over_the_wired_limit_keeps_the_old_mapping, "MAP_FIXED | MAP_WIRED over the limit is ENOMEM and destroys nothing")
{
	vaddr_t va = TM_BASE;

	begin();
	tm_put(tm_proc, "aaaa");
	tm_store(1, 5);
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(NPAGES), RW, ANONP | FIXED | UMAP_WIRED, NULL, 0, 0), ENOMEM);
	CHECK_EQ(tm_load(1), 5);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_FUTURE), 0);
	va = TM_BASE;
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(NPAGES), RW, ANONP | FIXED, NULL, 0, 0), ENOMEM);
	CHECK_EQ(tm_load(1), 5);
	end();
}

KTEST(brk_moves_the_end_of_the_heap, "brk grows by zeroes, keeps what is below, and frees what is above")
{
	vaddr_t base;
	uint64_t w;

	begin();
	base = tm_proc->p_vmspace->vm_daddr;
	CHECK(base != 0);
	CHECK_EQ(sys_obreak(tm_proc, base + 3 * P + 5), 0);
	CHECK_EQ(user_store(base, 1), 0);
	CHECK_EQ(user_store(base + 3 * P, 4), 0);
	CHECK_EQ(user_store(base + 4 * P, 5), EFAULT);
	CHECK_EQ(sys_obreak(tm_proc, base + 9 * P), 0);
	CHECK_EQ(tm_map(tm_proc)->nentries, 1);
	CHECK_EQ(user_load(base + 3 * P, &w), 0);
	CHECK_EQ(w, 4);
	CHECK_EQ(sys_obreak(tm_proc, base + P), 0);
	CHECK_EQ(user_load(base + P, &w), EFAULT);
	CHECK_EQ(sys_obreak(tm_proc, base + 9 * P), 0);
	CHECK_EQ(user_load(base + 3 * P, &w), 0);
	CHECK_EQ(w, 0);
	CHECK_EQ(user_load(base, &w), 0);
	CHECK_EQ(w, 1);
	CHECK_EQ(sys_obreak(tm_proc, base), 0);
	CHECK_EQ(tm_map(tm_proc)->nentries, 0);
	end();
}

KTEST(mincore_says_what_is_in_memory, "mincore is 1 for touched pages of every kind, 0 for the others")
{
	unsigned char vec[6];
	vaddr_t va = TM_VA(4);

	begin();
	tm_put(tm_proc, "aaoo");
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2), R, UMAP_PRIVATE | FIXED, vp, UF_READ, ptoa(4)), 0);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(6), UMADV_RANDOM), 0);
	tm_store(1, 1);
	tm_store(2, 1);
	memset(vec, 9, sizeof(vec));
	CHECK_EQ(sys_mincore(tm_proc, TM_VA(0), ptoa(4), vec), 0);
	CHECK(vec[0] == 0 && vec[1] == 1 && vec[2] == 1 && vec[3] == 0 && vec[4] == 9);
	tm_load(4);
	CHECK_EQ(sys_mincore(tm_proc, TM_VA(4), 1, vec), 0);
	CHECK_EQ(vec[0], 1);
	CHECK_EQ(vec[1], 1);
	/* what is the process' own counts, and not the file's page below it */
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(4), ptoa(2), RW), 0);
	tm_store(5, 1);
	CHECK_EQ(tu_put(&vp->v_uobj, 0, (voff_t)ptoa(8), PGO_CLEANIT | PGO_FREE | PGO_SYNCIO), 0);
	CHECK_EQ(sys_mincore(tm_proc, TM_VA(4), ptoa(2), vec), 0);
	CHECK(vec[0] == 0 && vec[1] == 1);
	end();
}

KTEST(madvise_free_forgets_private_pages_only, "MADV_FREE makes private pages zero or keeps them; shared and file pages stay")
{
	vaddr_t va = TM_VA(4);
	uint64_t w;

	begin();
	tm_put(tm_proc, "aaos");
	CHECK_EQ(sys_mmap(tm_proc, &va, P, RW, UMAP_SHARED | FIXED, vp, UF_READ | UF_WRITE, 0), 0);
	for (int i = 0; i < 5; i++)
		tm_store(i, (uint64_t)i + 1);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(5), UMADV_FREE), 0);
	for (int i = 0; i < 2; i++) {
		w = tm_load(i);
		CHECK(w == 0 || w == (uint64_t)i + 1);
	}
	CHECK_EQ(tm_load(2), 3);
	CHECK_EQ(tm_load(4), 5);
	tm_store(0, 7);
	CHECK_EQ(tm_load(0), 7);			/* I-SYS-6 */
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(5), UMADV_WILLNEED), 0);
	CHECK((tm_page(tm_proc, 0)->pqflags & PQ_INACTIVE) == 0);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(5), UMADV_DONTNEED), 0);
	CHECK((tm_page(tm_proc, 0)->pqflags & PQ_INACTIVE) != 0);
	CHECK_EQ(tm_load(0), 7);			/* deactivated, not lost */
	CHECK(uvm.inactive > 0);
	end();
}

KTEST(madvise_free_leaves_what_others_have, "MADV_FREE of memory that a child has too, copied or shared, takes nothing from it")
{
	struct proc *child;

	begin();
	tm_put(tm_proc, "as");
	tm_store(0, 1);
	tm_store(1, 2);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(2), UMADV_FREE), 0);
	CHECK_EQ(tm_load_in(child, 0), 1);
	CHECK_EQ(tm_load_in(child, 1), 2);
	CHECK_EQ(tm_load(1), 2);
	proc_exit(child);
	end();
}

KTEST(msync_leaves_private_memory_alone, "MS_INVALIDATE takes nothing that is nowhere else")
{
	begin();
	tm_put(tm_proc, "aq");
	tm_store(0, 1);
	tm_store(1, 2);
	CHECK_EQ(sys_msync(tm_proc, TM_VA(0), ptoa(2), UMS_SYNC | UMS_INVALIDATE), 0);
	CHECK_EQ(tm_load(0), 1);
	CHECK_EQ(tm_load(1), 2);
	end();
}

KTEST(msync_without_a_length, "msync of no bytes is of the whole mapping around the address, and of no other")
{
	begin();
	CHECK_EQ(do_mmap(TM_VA(0), 3 * P, RW, UMAP_SHARED | FIXED, true, UF_READ | UF_WRITE, 0), 0);
	CHECK_EQ(do_mmap(TM_VA(3), P, RW, UMAP_SHARED | FIXED, true, UF_READ | UF_WRITE, ptoa(5)), 0);
	/* none is the neighbour of another, so none is written along with one */
	CHECK_EQ(user_store(TM_VA(0), 70), 0);
	CHECK_EQ(user_store(TM_VA(2), 72), 0);
	CHECK_EQ(user_store(TM_VA(3), 73), 0);
	CHECK_EQ(sys_msync(tm_proc, TM_VA(1), 0, UMS_SYNC), 0);
	CHECK_EQ(tu_host_word(vp, 0), 70);
	CHECK_EQ(tu_host_word(vp, ptoa(2)), 72);
	CHECK_EQ(tu_host_word(vp, ptoa(5)), tu_word(ptoa(5)));
	CHECK_EQ(sys_msync(tm_proc, TM_VA(9), 0, UMS_SYNC), ENOMEM);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), 4 * P), 0);
	end();
}

KTEST(B18_msync_tells_the_first_error, "a write that fails is told, however many follow that do not, and in however many goes")
{
	const int n = 20;
	struct vnode *file;
	char why[80];

	begin();
	file = tu_file(ptoa(n));
	for (int i = 0; i < n; i++) {		/* the last page first: none goes with its neighbour */
		vaddr_t va = TM_VA(i);

		CHECK_EQ(sys_mmap(tm_proc, &va, P, RW, UMAP_SHARED | FIXED, file, UF_READ | UF_WRITE,
		    (voff_t)ptoa(n - 1 - i)), 0);
		tm_store(i, 1);
	}
	CHECK_EQ(tm_map(tm_proc)->nentries, n);
	CHECK_EQ(inject_configure("vnode-write:every=1,times=1", 1, why, sizeof(why)), 0);
	inject_start();
	CHECK_EQ(sys_msync(tm_proc, TM_VA(0), ptoa(n), UMS_SYNC), EIO);
	inject_stop();
	CHECK_EQ(sys_msync(tm_proc, TM_VA(0), ptoa(n), UMS_SYNC), 0);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(n)), 0);
	vrele(file);
	end();
}

/* Whoever frees a page whose mapping has just gone, and is not known to be out of all TLBs, has to ask
 * every CPU: once for each page, if the mappings were not flushed together before. */
KTEST(madvise_free_asks_for_TLBs_once, "MADV_FREE of many pages flushes TLBs once, and not for each page")
{
	struct pmap_stat before, after;

	begin();
	tm_put(tm_proc, "aaaaaaaa");
	for (int i = 0; i < 8; i++)
		tm_store(i, (uint64_t)i + 1);
	pmap_getstat(&before);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), ptoa(8), UMADV_FREE), 0);
	pmap_getstat(&after);
	for (int i = 0; i < 8; i++)
		CHECK(tm_page(tm_proc, i) == NULL);
	CHECK_EQ(after.leaving_flushes, before.leaving_flushes);
	CHECK_EQ(after.local_flushes + after.shootdowns, before.local_flushes + before.shootdowns + 1);
	end();
}

/* Neighbours are unmapped in one go; what lies between them is not theirs. */
KTEST(madvise_free_leaves_what_lies_between, "MADV_FREE unmaps neither the file's pages between private ones, nor a page that is busy")
{
	vaddr_t va = TM_VA(0);
	struct vm_page *pg;

	begin();
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(8), RW, UMAP_PRIVATE | FIXED, vp, UF_READ, 0), 0);
	CHECK_EQ(sys_madvise(tm_proc, va, ptoa(8), UMADV_RANDOM), 0);	/* no neighbours mapped ahead */
	for (int i = 0; i < 8; i++)
		if (i == 2 || i == 6)
			CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa(i)));
		else
			tm_store(i, 5);
	pg = tm_page(tm_proc, 4);
	mutex_enter(&pg->uanon->an_lock);
	uvm_page_busy(pg, "test");
	mutex_exit(&pg->uanon->an_lock);
	CHECK_EQ(sys_madvise(tm_proc, va, ptoa(8), UMADV_FREE), 0);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(pmap_extract(tm_map(tm_proc)->pmap, TM_VA(i), NULL), i == 2 || i == 4 || i == 6);
	mutex_enter(&pg->uanon->an_lock);
	uvm_page_unbusy(&pg, 1);
	mutex_exit(&pg->uanon->an_lock);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tm_load(i), i == 4 ? 5 : tu_word((voff_t)ptoa(i)));
	CHECK_EQ(uvm_anon_count(), 1);
	end();
}

/* The child's anon is the parent's too; freed in one, it is not mapped there any more. */
KTEST(freed_anon_is_not_mapped, "after MADV_FREE no mapping of the old page is left, though a child has it")
{
	struct proc *child;

	begin();
	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	tm_store(1, 2);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_store(1, 22);				/* copies the parent's amap; page 0 stays shared */
	CHECK_EQ(tm_load(0), 1);
	CHECK(tm_page(tm_proc, 0) != NULL);
	CHECK_EQ(sys_madvise(tm_proc, TM_VA(0), P, UMADV_FREE), 0);
	CHECK(tm_page(tm_proc, 0) == NULL);
	CHECK_EQ(tm_load(0), 0);
	CHECK_EQ(tm_load_in(child, 0), 1);
	proc_exit(child);
	end();
}

KTEST(shmat_shares_between_processes, "two processes that attach an object see each other's stores")
{
	struct proc *other;
	vaddr_t va = TM_BASE;

	begin();
	CHECK_EQ(proc_create("other", &other), 0);
	CHECK_EQ(sys_shmat(tm_proc, tm_obj, &va, RW), 0);
	CHECK_EQ(sys_shmat(other, tm_obj, &va, R), 0);
	tm_store(3, 33);
	CHECK_EQ(tm_load_in(other, 3), 33);
	CHECK_EQ(tm_obj->uo_refs, 3);
	proc_exit(other);
	CHECK_EQ(tm_obj->uo_refs, 2);
	CHECK_EQ(proc_fork(tm_proc, "child", &other), 0);
	tm_store_in(other, 3, 34);
	CHECK_EQ(tm_load(3), 34);		/* so does each child */
	proc_exit(other);
	end();
}

/* --- mremap --- */

static vaddr_t
remap(int page, int old, vaddr_t to, int new, bool fixed)
{
	CHECK_EQ(sys_mremap(tm_proc, TM_VA(page), ptoa((uint64_t)old), &to, ptoa((uint64_t)new), fixed), 0);
	tm_check(tm_proc);
	return to;
}

KTEST(mremap_shrinks_and_grows_in_place, "the tail goes, or comes as zeroes, and the address stays")
{
	begin();
	tm_put(tm_proc, "aaaa");
	for (int i = 0; i < 4; i++)
		tm_store(i, (uint64_t)i + 1);
	CHECK_EQ(remap(0, 4, 0, 2, false), TM_BASE);
	TM_SHAPE(tm_proc, "aa..");
	CHECK_EQ(remap(0, 2, 0, 5, false), TM_BASE);
	CHECK_EQ(tm_load(1), 2);
	CHECK_EQ(tm_load(2), 0);
	tm_store(4, 1);
	CHECK_EQ(tm_load_error(5), EFAULT);
	/* with the rights of what it continues */
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(0), ptoa(5), R), 0);
	CHECK_EQ(remap(0, 5, 0, 6, false), TM_BASE);
	CHECK_EQ(tm_store_error(5), EACCES);
	CHECK_EQ(tm_load(5), 0);
	end();
}

KTEST(mremap_grows_into_the_file, "what a mapping of a file grows by is what comes next there")
{
	vaddr_t va = TM_BASE;
	int refs;

	begin();
	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2), R, UMAP_SHARED | FIXED, vp, UF_READ, (voff_t)P), 0);
	CHECK_EQ(remap(0, 2, 0, 3, false), TM_BASE);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa((uint64_t)i + 1)));
	refs = vp->v_uobj.uo_refs;
	CHECK_EQ(sys_mremap(tm_proc, va, ptoa(3), &va, MAX - MIN, false), ENOMEM);
	CHECK_EQ(vp->v_uobj.uo_refs, refs);
	end();
}

KTEST(mremap_moves_when_there_is_no_room, "a mapping that cannot grow moves with its contents")
{
	vaddr_t va;
	uint64_t w;

	begin();
	tm_put(tm_proc, "aaao");
	tm_store(0, 10);
	tm_store(2, 12);
	va = remap(0, 3, 0, 6, false);
	CHECK(va != TM_BASE);
	CHECK_EQ(tm_load_error(0), EFAULT);
	CHECK_EQ(user_load(va, &w), 0);
	CHECK_EQ(w, 10);
	CHECK_EQ(user_load(va + 2 * P, &w), 0);
	CHECK_EQ(w, 12);
	CHECK_EQ(user_load(va + 5 * P, &w), 0);
	CHECK_EQ(w, 0);
	end();
}

/* Several entries of every kind move together, up and down; what is at the target goes. */
KTEST(mremap_fixed_moves_entries_of_every_kind, "entries keep amap, object and offset at their new address")
{
	begin();
	tm_put(tm_proc, ".arospa.......rrrr");
	for (int i = 1; i < 7; i++)
		if (i != 2)
			tm_store(i, (uint64_t)i);
	CHECK_EQ(remap(1, 6, TM_VA(12), 6, true), TM_VA(12));
	TM_SHAPE(tm_proc, "............abcdef");
	for (int i = 1; i < 7; i++)
		CHECK_EQ(tm_load(i + 11), i == 2 ? 0 : i);
	CHECK_EQ(remap(12, 6, TM_VA(3), 4, true), TM_VA(3));
	TM_SHAPE(tm_proc, "...abcd...........");
	CHECK_EQ(tm_load(3), 1);
	CHECK_EQ(tm_load(5), 3);
	tm_put(tm_proc, "oooooooo");
	CHECK_EQ(tm_load(3), 3);
	end();
}

/* B-14: growing shared anonymous memory gives memory, not an entry without layers. */
KTEST(B14_grown_shared_memory_is_accessible, "the new part of shared anonymous memory can be used and is shared")
{
	struct proc *child;

	begin();
	tm_put(tm_proc, "ss");
	tm_store(0, 1);
	CHECK_EQ(remap(0, 2, 0, 4, false), TM_BASE);
	tm_store(3, 3);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	CHECK_EQ(tm_load_in(child, 3), 3);
	tm_store(2, 2);
	CHECK_EQ(tm_load_in(child, 2), 2);
	tm_store_in(child, 3, 4);
	CHECK_EQ(tm_load(3), 4);
	CHECK_EQ(remap(0, 4, 0, 6, false), TM_BASE);	/* the amap is the child's too by now */
	tm_store(5, 6);
	CHECK_EQ(tm_load(5), 6);
	CHECK_EQ(tm_load(0), 1);
	proc_exit(child);
	end();
}

/* B-9 */
KTEST(B9_failed_mremap_leaves_the_old_mapping, "no room, a hole, an object's end: the mapping is as before")
{
	vaddr_t va = 0;

	begin();
	tm_put(tm_proc, "aao.oo");
	tm_store(0, 1);
	tm_store(5, 6);
	CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(2), &va, MAX - MIN, false), ENOMEM);
	CHECK_EQ(sys_mremap(tm_proc, TM_VA(1), ptoa(4), &va, ptoa(5), false), EFAULT);
	va = TM_VA(0);
	CHECK_EQ(sys_mremap(tm_proc, TM_VA(0), ptoa(2), &va, ptoa(3), true), ENOMEM);
	va = MAX - P;
	CHECK(sys_mremap(tm_proc, TM_VA(0), ptoa(2), &va, ptoa(2), true) != 0);
	TM_SHAPE(tm_proc, "aab.cc");
	CHECK_EQ(tm_load(0), 1);
	CHECK_EQ(tm_load(5), 6);
	end();
}

KTEST(mremap_beyond_the_largest_offset_is_E2BIG, "an object mapping does not grow past the end of offsets")
{
	vaddr_t va = TM_BASE;

	begin();
	CHECK_EQ(sys_mmap(tm_proc, &va, P, R, UMAP_PRIVATE | FIXED, vp, UF_READ,
	    INT64_MAX - 2 * (voff_t)P + 1), 0);
	CHECK_EQ(sys_mremap(tm_proc, va, P, &va, ptoa(4), false), E2BIG);
	TM_SHAPE(tm_proc, "a...");
	end();
}

KTEST_MAIN()
