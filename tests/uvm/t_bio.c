/*
 * UBC: read() and write() of regular files, one thing at a time (uvm-spec 11).
 *
 * This one makes the pmap fail, the host's disk full, memory too short to break a loan,
 * and the source of a copy go away.
 */
#include "tmap.h"

#include <string.h>
#include <sys/inject.h>
#include <uvm/uvm_bio_i.h>

#define	RW	(VM_PROT_READ | VM_PROT_WRITE)
#define	FILE_VA	TM_VA(32)		/* where map_file() maps a file */

static struct {
	int	enter_fails;		/* so many enters of kernel mappings fail */
	int	alloc_error;		/* of the host's disk */
	int	allocs;			/* how often blocks were asked for */
	int	loanbreak_fails;
	void	(*before_copyin)(bool nofault);
	void	(*in_fault)(void);	/* on a window; nothing is locked but v_lock */
} hook;

int	__real_pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned);
int	__wrap_pmap_enter(struct pmap *, vaddr_t, paddr_t, vm_prot_t, unsigned);
int	__real_host_file_alloc(int, uint64_t, uint64_t);
int	__wrap_host_file_alloc(int, uint64_t, uint64_t);
struct vm_page *__real_uvm_loanbreak(struct vm_page *);
struct vm_page *__wrap_uvm_loanbreak(struct vm_page *);
int	__real_copyin_kva(vaddr_t, vaddr_t, size_t, bool, size_t *);
int	__wrap_copyin_kva(vaddr_t, vaddr_t, size_t, bool, size_t *);

void	__real_uvmfault_unlockall(struct uvm_faultinfo *, struct vm_amap *, struct uvm_object *,
	    struct vm_anon *);
void	__wrap_uvmfault_unlockall(struct uvm_faultinfo *, struct vm_amap *, struct uvm_object *,
	    struct vm_anon *);

int
__wrap_pmap_enter(struct pmap *pm, vaddr_t va, paddr_t pa, vm_prot_t prot, unsigned flags)
{
	if (pm == pmap_kernel() && hook.enter_fails > 0) {
		hook.enter_fails--;
		pmap_remove(pm, va, va + PAGE_SIZE);		/* R2 */
		return ENOMEM;
	}
	return __real_pmap_enter(pm, va, pa, prot, flags);
}

int
__wrap_host_file_alloc(int fd, uint64_t off, uint64_t bytes)
{
	hook.allocs++;
	return hook.alloc_error != 0 ? hook.alloc_error : __real_host_file_alloc(fd, off, bytes);
}

struct vm_page *
__wrap_uvm_loanbreak(struct vm_page *pg)
{
	if (hook.loanbreak_fails > 0) {
		hook.loanbreak_fails--;
		return NULL;
	}
	return __real_uvm_loanbreak(pg);
}

int
__wrap_copyin_kva(vaddr_t uaddr, vaddr_t kva, size_t len, bool nofault, size_t *donep)
{
	if (hook.before_copyin != NULL)
		hook.before_copyin(nofault);
	return __real_copyin_kva(uaddr, kva, len, nofault, donep);
}

void
__wrap_uvmfault_unlockall(struct uvm_faultinfo *ufi, struct vm_amap *amap,
    struct uvm_object *uobj, struct vm_anon *anon)
{
	__real_uvmfault_unlockall(ufi, amap, uobj, anon);
	if (uobj == &ubc_object.uobj && hook.in_fault != NULL)
		hook.in_fault();
}

static struct vnode *vp;
static struct uvm_object *obj;

/* A file of so many bytes; 16 pages of memory to read into and write from. */
static void
begin(voff_t size)
{
	memset(&hook, 0, sizeof(hook));
	tm_boot(1, 2048);
	vp = tu_file(size);
	obj = &vp->v_uobj;
	tm_put(tm_proc, "aaaaaaaaaaaaaaaa");
}

static void
end(void)
{
	vrele(vp);
	tm_shutdown();
}

/* => bytes moved; the call must succeed */
static size_t
rd(voff_t off, vaddr_t va, size_t len)
{
	CHECK_EQ(sys_read(tm_proc, vp, off, va, &len, 0), 0);
	return len;
}

static size_t
wr(voff_t off, vaddr_t va, size_t len)
{
	CHECK_EQ(sys_write(tm_proc, vp, off, va, &len, 0), 0);
	return len;
}

static uint64_t
load(vaddr_t va)
{
	uint64_t w = 0;

	CHECK_EQ(user_load(va, &w), 0);
	return w;
}

static void
store(vaddr_t va, uint64_t w)
{
	CHECK_EQ(user_store(va, w), 0);
}

/* Words of user memory that no file holds. */
static void
fill(vaddr_t va, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i += 8)
		store(va + i, seed + i);
}

static void
check_fill(vaddr_t va, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i += 8)
		CHECK_EQ(load(va + i), seed + i);
}

/* => what read() says is at off */
static uint64_t
file_word(voff_t off)
{
	CHECK_EQ(rd(off, TM_VA(15), 8), 8);
	return load(TM_VA(15));
}

static void
map_file(vsize_t len)
{
	vaddr_t va = FILE_VA;

	CHECK_EQ(sys_mmap(tm_proc, &va, len, RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE, 0), 0);
}

/* --- reading --- */

KTEST(read_gives_what_the_file_holds, "read gives what the file holds, at any offset, of any length")
{
	begin(9 * PAGE_SIZE + 100);
	for (voff_t off = 0; off < 9 * (voff_t)PAGE_SIZE; off += 1000) {
		size_t want = 9 * PAGE_SIZE + 100 - (size_t)off;

		CHECK_EQ(rd(off, TM_VA(0) + 8, 16 * PAGE_SIZE - 8), want);
		for (size_t i = 0; i + 8 <= want; i += 504)
			CHECK_EQ(load(TM_VA(0) + 8 + i), tu_word(off + (voff_t)i));
	}
	CHECK_EQ(rd(9 * (voff_t)PAGE_SIZE + 100, TM_VA(0), 8), 0);
	CHECK_EQ(rd(1L << 40, TM_VA(0), 8), 0);
	CHECK_EQ(rd(3, TM_VA(0) + 5, 11), 11);
	CHECK_EQ(load(TM_VA(0) + 8), tu_word(0) >> 48 | tu_word(8) << 16);
	end();
}

KTEST(read_refuses_what_is_no_range, "read refuses what is no range")
{
	size_t len = 8;
	voff_t off;

	begin(PAGE_SIZE);
	CHECK_EQ(sys_read(tm_proc, vp, -8, TM_VA(0), &len, 0), EINVAL);
	CHECK_EQ(len, 0);
	CHECK_EQ(sys_read(tm_proc, vp, -8, TM_VA(0), &len, 0), EINVAL);	/* nothing asked */
	len = INT64_MAX;
	CHECK_EQ(sys_append(tm_proc, vp, &off, TM_VA(0), &len), EFBIG);
	CHECK_EQ(len, 0);
	len = 8;
	CHECK_EQ(sys_write(tm_proc, vp, INT64_MAX - 4, TM_VA(0), &len, 0), EFBIG);
	CHECK_EQ(len, 0);
	CHECK_EQ(vp->v_size, PAGE_SIZE);
	end();
}

/* R39: what cannot be entered is faulted again. */
KTEST(R39_window_that_cannot_be_mapped_is_tried_again, "a window that cannot be mapped is tried again")
{
	begin(4 * PAGE_SIZE);
	hook.enter_fails = 7;
	CHECK_EQ(rd(0, TM_VA(0), 4 * PAGE_SIZE), 4 * PAGE_SIZE);
	CHECK_EQ(hook.enter_fails, 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa(i)));
	CHECK(tu_count(UVMC_flt_shortage) >= 7);
	end();
}

/* => the next so many gets of pagers answer EAGAIN; nothing of the file is in memory */
static void
pagers_say_again(const char *spec)
{
	char why[80];

	inject_stop();
	CHECK_EQ(tu_put(obj, 0, 0, PGO_CLEANIT | PGO_FREE | PGO_SYNCIO), 0);
	CHECK_EQ(obj->uo_npages, 0);
	CHECK_EQ(inject_configure(spec, 1, why, sizeof(why)), 0);
	inject_start();
}

static uint64_t
times_said(void)
{
	uint64_t calls, failed;

	inject_counts(INJECT_pager_again, &calls, &failed);
	return failed;
}

/* R18: AGAIN is a word between pagers and UVM, and no answer to anybody else. */
KTEST(R18_a_pager_that_says_AGAIN_is_asked_again, "a pager that says AGAIN is asked again, by whoever asked")
{
	const int how[] = { 0, SYSR_LOAN };
	size_t len;

	begin(4 * PAGE_SIZE);
	for (int i = 0; i < 2; i++) {
		pagers_say_again("pager-again:every=1,times=2");
		len = 2 * PAGE_SIZE;
		CHECK_EQ(sys_read(tm_proc, vp, 0, TM_VA(0), &len, how[i]), 0);
		CHECK(len == 2 * PAGE_SIZE && times_said() == 2);
		CHECK_EQ(tm_load(1), tu_word((voff_t)PAGE_SIZE));
		CHECK_EQ(tu_count(UVMC_loan_read), 2 * i);	/* by loan, not by the copy that would do, too */
	}
	map_file(4 * PAGE_SIZE);
	pagers_say_again("pager-again:every=1,times=3");
	CHECK(load(FILE_VA) == tu_word(0) && times_said() == 3);
	fill(TM_VA(4), 2 * PAGE_SIZE, 7);
	pagers_say_again("pager-again:every=1,times=2");
	CHECK_EQ(wr(0, TM_VA(4), 2 * PAGE_SIZE), 2 * PAGE_SIZE);	/* of whole pages: by overwriting */
	CHECK_EQ(times_said(), 2);
	inject_stop();
	CHECK(tu_count(UVMC_ubc_fallback) == 1 && file_word(8) == 8 + 7);
	CHECK_EQ(file_word((voff_t)PAGE_SIZE), PAGE_SIZE + 7);
	end();
}

/* The buffer is mapped anew while the window faults: what was looked up before is not it. */
static void
new_buffer(void)
{
	hook.in_fault = NULL;
	CHECK_EQ(tm_put_at(tm_proc, 0, 4, 'a'), 0);
}

KTEST(read_finds_its_buffer_again_after_the_window_has_faulted, "read finds its buffer again after the window has faulted")
{
	begin(4 * PAGE_SIZE);
	fill(TM_VA(0), 4 * PAGE_SIZE, 5);
	hook.in_fault = new_buffer;
	rd(0, TM_VA(0), 2 * PAGE_SIZE);
	CHECK(hook.in_fault == NULL);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(tm_load(i), tu_word((voff_t)ptoa(i)));
	CHECK_EQ(tm_load(2), 0);
	end();
}

/* What is thrown out or cleaned takes the window's mapping along. */
KTEST(I_UBC_3_window_loses_pages_that_go, "a window loses pages that go")
{
	paddr_t pa;

	begin(4 * PAGE_SIZE);
	rd(0, TM_VA(0), 4 * PAGE_SIZE);
	CHECK(pmap_extract(pmap_kernel(), ubc_window_va(&ubc_object.umap[0]), &pa));
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_SYNCIO), 0);
	CHECK(!pmap_extract(pmap_kernel(), ubc_window_va(&ubc_object.umap[0]), &pa));
	rd(0, TM_VA(0), 4 * PAGE_SIZE);
	CHECK_EQ(tm_load(3), tu_word(3 * (voff_t)PAGE_SIZE));
	end();
}

KTEST(windows_are_found_again, "windows are found again")
{
	begin(4 * PAGE_SIZE);
	rd(0, TM_VA(0), 4 * PAGE_SIZE);
	CHECK_EQ(tu_count(UVMC_ubc_winmiss), 2);
	rd(0, TM_VA(0), 4 * PAGE_SIZE);
	CHECK_EQ(tu_count(UVMC_ubc_winmiss), 2);
	CHECK_EQ(tu_count(UVMC_ubc_winhit), 2);
	CHECK_EQ(tu_count(UVMC_ubc_faults), 2);		/* whole windows at once, once */
	end();
}

KTEST(T67_recycled_windows_show_their_new_file, "recycled windows show their new file")
{
	struct vnode *files[6];

	tu_ubc_windows = 2;
	begin(PAGE_SIZE);
	for (int i = 0; i < 6; i++) {
		files[i] = tu_file(4 * PAGE_SIZE);
		for (int p = 0; p < 4; p++) {
			uint64_t w = (uint64_t)i << 32 | (uint64_t)p;
			size_t len = 8;

			store(TM_VA(0), w);
			CHECK_EQ(sys_write(tm_proc, files[i], (voff_t)ptoa(p), TM_VA(0), &len, 0), 0);
		}
	}
	for (int i = 0; i < 200; i++) {
		struct vnode *v = files[i * 5 % 6];
		size_t len = 8;

		CHECK_EQ(sys_read(tm_proc, v, (voff_t)ptoa(i * 7 % 4), TM_VA(0), &len, 0), 0);
		CHECK_EQ(load(TM_VA(0)), (uint64_t)(i * 5 % 6) << 32 | (uint64_t)(i * 7 % 4));
	}
	CHECK(tu_count(UVMC_ubc_recycled) > 100);
	for (int i = 0; i < 6; i++)
		vrele(files[i]);
	end();
}

/* The vnode's memory, and so the object's address, may come again. */
KTEST(I_UBC_7_window_of_a_dead_file_is_nobodys, "a window of a dead file is not another's")
{
	begin(PAGE_SIZE);
	for (int i = 0; i < 20; i++) {
		struct vnode *v = tu_file(PAGE_SIZE);
		size_t len = 8;

		store(TM_VA(0), (uint64_t)i);
		CHECK_EQ(sys_write(tm_proc, v, 0, TM_VA(0), &len, 0), 0);
		CHECK_EQ(sys_read(tm_proc, v, 0, TM_VA(1), &len, 0), 0);
		CHECK_EQ(load(TM_VA(1)), i);
		vrele(v);
		rcu_barrier();
	}
	CHECK_EQ(tu_count(UVMC_ubc_winmiss), 20);
	end();
}

/* --- writing --- */

KTEST(write_changes_what_it_covers_and_nothing_else, "write changes what it covers and nothing else")
{
	begin(10 * PAGE_SIZE);
	for (int i = 0; i < 12; i++) {
		voff_t off = i * 1304;
		size_t len = 8 + (size_t)i * 2048;

		fill(TM_VA(0), len, (uint64_t)i << 48);
		CHECK_EQ(wr(off, TM_VA(0), len), len);
		CHECK_EQ(rd(off, TM_VA(8), len), len);
		check_fill(TM_VA(8), len, (uint64_t)i << 48);
		CHECK_EQ(file_word(off + (voff_t)len), tu_word(off + (voff_t)len));
		CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_SYNCIO), 0);
		CHECK_EQ(tu_host_word(vp, off), (uint64_t)i << 48);
	}
	CHECK_EQ(vp->v_size, 10 * PAGE_SIZE);
	end();
}

KTEST(write_of_whole_pages_reads_nothing, "write of whole pages reads nothing")
{
	uint64_t before;

	begin(8 * PAGE_SIZE);
	fill(TM_VA(0), 4 * PAGE_SIZE, 1);
	before = disk_requests(false);
	wr((voff_t)PAGE_SIZE, TM_VA(0), 4 * PAGE_SIZE);
	CHECK_EQ(disk_requests(false), before);
	CHECK_EQ(tu_count(UVMC_ubc_faultbusy), 3);	/* | .1 | 23 | 4. | */
	wr(8 * (voff_t)PAGE_SIZE, TM_VA(0), 100);	/* the end of the file is the end of a page */
	CHECK_EQ(disk_requests(false), before);
	wr(6 * (voff_t)PAGE_SIZE, TM_VA(0), 100);
	CHECK(disk_requests(false) > before);
	end();
}

/* I-SYS-4 */
KTEST(I_SYS_4_read_write_and_mmap_see_the_same, "read, write and mmap see the same")
{
	begin(4 * PAGE_SIZE);
	map_file(4 * PAGE_SIZE);
	CHECK_EQ(load(FILE_VA + 16), tu_word(16));
	store(FILE_VA + 16, 1);
	CHECK_EQ(file_word(16), 1);
	store(TM_VA(0), 2);
	wr(16, TM_VA(0), 8);
	CHECK_EQ(load(FILE_VA + 16), 2);
	fill(TM_VA(0), PAGE_SIZE, 100);
	wr(0, TM_VA(0), PAGE_SIZE);
	CHECK_EQ(load(FILE_VA + 16), 116);
	store(FILE_VA + 16, 3);
	CHECK_EQ(file_word(16), 3);
	CHECK_EQ(sys_msync(tm_proc, FILE_VA, PAGE_SIZE, UMS_SYNC), 0);
	CHECK_EQ(tu_host_word(vp, 16), 3);
	CHECK_EQ(tu_host_word(vp, 24), 124);
	wr(24, TM_VA(0), 8);				/* the window was write protected by it */
	CHECK_EQ(sys_fsync(tm_proc, vp), 0);
	CHECK_EQ(tu_host_word(vp, 24), 100);
	end();
}

KTEST(append_is_at_the_end, "append is at the end, and what is between is zero")
{
	voff_t off;
	size_t len = 24;

	begin(100);
	map_file(2 * PAGE_SIZE);
	for (vaddr_t o = 104; o < PAGE_SIZE; o += 8)
		store(FILE_VA + o, ~0UL);		/* behind the end: nobody's */
	fill(TM_VA(0), PAGE_SIZE, 7);
	CHECK_EQ(sys_append(tm_proc, vp, &off, TM_VA(0), &len), 0);
	CHECK_EQ(off, 100);
	CHECK_EQ(vp->v_size, 124);
	CHECK_EQ(vp->v_writesize, 124);
	wr(6 * (voff_t)PAGE_SIZE + 8, TM_VA(0), 8);
	CHECK_EQ(vp->v_size, 6 * PAGE_SIZE + 16);
	CHECK_EQ(file_word(120) >> 32, 0);
	CHECK_EQ(file_word(128), 0);
	CHECK_EQ(file_word(3 * (voff_t)PAGE_SIZE), 0);
	CHECK_EQ(file_word(6 * (voff_t)PAGE_SIZE + 8), 7);
	CHECK_EQ(sys_fsync(tm_proc, vp), 0);
	CHECK_EQ(tu_host_size(vp), 6 * PAGE_SIZE + 16);
	end();
}

/* --- errors half-way --- */

KTEST(write_from_a_hole_says_how_far_it_came, "write from a hole in memory says how far it came")
{
	size_t len = 4 * PAGE_SIZE;

	begin(8 * PAGE_SIZE);
	fill(TM_VA(0), 2 * PAGE_SIZE + 64, 9);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(2), PAGE_SIZE), 0);
	CHECK_EQ(sys_write(tm_proc, vp, 0, TM_VA(0), &len, 0), EFAULT);
	CHECK_EQ(len, 2 * PAGE_SIZE);
	CHECK_EQ(file_word(2 * (voff_t)PAGE_SIZE - 8), 9 + 2 * PAGE_SIZE - 8);
	CHECK_EQ(file_word(2 * (voff_t)PAGE_SIZE), tu_word(2 * (voff_t)PAGE_SIZE));
	/* the same across the end: the file ends where the copy did */
	len = 4 * PAGE_SIZE;
	CHECK_EQ(sys_write(tm_proc, vp, 8 * (voff_t)PAGE_SIZE, TM_VA(0) + 72, &len, 0), EFAULT);
	CHECK_EQ(len, 2 * PAGE_SIZE - 72);
	CHECK_EQ(vp->v_size, 10 * PAGE_SIZE - 72);
	CHECK_EQ(vp->v_writesize, vp->v_size);
	CHECK(tu_lookup(obj, 10 * (voff_t)PAGE_SIZE) == NULL);
	/* and where it came nowhere, behind the end, that stays where it was */
	len = 8;
	CHECK_EQ(sys_write(tm_proc, vp, 20 * (voff_t)PAGE_SIZE, TM_VA(2), &len, 0), EFAULT);
	CHECK_EQ(len, 0);
	CHECK_EQ(vp->v_size, 10 * PAGE_SIZE - 72);
	CHECK_EQ(vp->v_writesize, vp->v_size);
	CHECK_EQ(sys_ftruncate(tm_proc, vp, 11 * (voff_t)PAGE_SIZE), 0);
	CHECK_EQ(file_word(10 * (voff_t)PAGE_SIZE - 72), 0);
	end();
}

KTEST(read_to_a_hole_says_how_far_it_came, "read to a hole in memory, or to what is read only, says how far it came")
{
	size_t len = 4 * PAGE_SIZE;

	begin(8 * PAGE_SIZE);
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(2), PAGE_SIZE), 0);
	CHECK_EQ(sys_read(tm_proc, vp, 0, TM_VA(0) + 16, &len, 0), EFAULT);
	CHECK_EQ(len, 2 * PAGE_SIZE - 16);
	CHECK_EQ(load(TM_VA(2) - 8), tu_word(2 * (voff_t)PAGE_SIZE - 24));
	CHECK_EQ(sys_mprotect(tm_proc, TM_VA(1), PAGE_SIZE, VM_PROT_READ), 0);
	len = 4 * PAGE_SIZE;
	CHECK_EQ(sys_read(tm_proc, vp, 0, TM_VA(0), &len, 0), EFAULT);
	CHECK_EQ(len, PAGE_SIZE);
	end();
}

static int go_away;			/* the copy of that number finds its source gone */

/* The source was touched, and the page daemon, or a sibling, took it away again. */
static void
take_source(bool nofault)
{
	if (nofault && --go_away == 0) {
		for (int i = 0; i < 4; i++)
			if (tm_page(tm_proc, i) != NULL) {
				pmap_remove(tm_map(tm_proc)->pmap, TM_VA(i), TM_VA(i + 1));
				pmap_update(tm_map(tm_proc)->pmap);
			}
	}
}

KTEST(H3_source_that_goes_away_is_copied_the_slow_way, "a source that goes away is copied the slow way")
{
	for (int n = 1; n <= 2; n++) {
		begin(8 * PAGE_SIZE);
		fill(TM_VA(0), 4 * PAGE_SIZE, 5);
		hook.before_copyin = take_source;
		go_away = n;
		CHECK_EQ(wr(0, TM_VA(0), 4 * PAGE_SIZE), 4 * PAGE_SIZE);
		CHECK_EQ(tu_count(UVMC_ubc_fallback), 1);
		CHECK_EQ(rd(0, TM_VA(4), 5 * PAGE_SIZE), 5 * PAGE_SIZE);
		check_fill(TM_VA(4), 4 * PAGE_SIZE, 5);
		CHECK_EQ(tm_load(8), tu_word(4 * (voff_t)PAGE_SIZE));
		end();
	}
}

/* As take_source(), but the second page alone. */
static void
take_second(bool nofault)
{
	if (nofault && --go_away == 0) {
		pmap_remove(tm_map(tm_proc)->pmap, TM_VA(1), TM_VA(2));
		pmap_update(tm_map(tm_proc)->pmap);
	}
}

KTEST(H3_page_that_was_half_overwritten_is_begun_anew, "a source that goes away within a page of the file: that page is written as a whole")
{
	begin(4 * PAGE_SIZE);
	fill(TM_VA(0), 4 * PAGE_SIZE, 5);
	hook.before_copyin = take_second;
	go_away = 1;
	CHECK_EQ(wr(0, TM_VA(0) + 8, 2 * PAGE_SIZE), 2 * PAGE_SIZE);
	CHECK(tu_count(UVMC_ubc_fallback) == 1 && go_away == 0);
	CHECK_EQ(rd(0, TM_VA(4), 3 * PAGE_SIZE), 3 * PAGE_SIZE);
	check_fill(TM_VA(4), 2 * PAGE_SIZE, 5 + 8);
	CHECK_EQ(tm_load(6), tu_word(2 * (voff_t)PAGE_SIZE));
	end();
}

/* The source goes away for good when its pages are BUSY: the slow way fails as well. */
static void
unmap_source(bool nofault)
{
	if (nofault && --go_away == 0)
		CHECK_EQ(sys_munmap(tm_proc, TM_VA(1), PAGE_SIZE), 0);
}

/* B-25: pages that were got to be overwritten, and were not, are given up. */
KTEST(B25_pages_that_were_not_overwritten_keep_their_content,
    "pages that were not overwritten keep their content, be they in memory or not")
{
	size_t len = 2 * PAGE_SIZE;

	begin(8 * PAGE_SIZE);
	fill(TM_VA(0), 2 * PAGE_SIZE, 5);
	map_file(8 * PAGE_SIZE);
	hook.before_copyin = unmap_source;
	go_away = 1;
	CHECK_EQ(sys_write(tm_proc, vp, 16, TM_VA(0) + 16, &len, 0), EFAULT);
	CHECK_EQ(len, PAGE_SIZE - 16);
	CHECK_EQ(tu_count(UVMC_ubc_fallback), 1);
	CHECK_EQ(load(FILE_VA), tu_word(0));
	CHECK_EQ(load(FILE_VA + PAGE_SIZE - 8), 5 + PAGE_SIZE - 8);
	for (int i = 1; i < 8; i++)
		CHECK_EQ(load(FILE_VA + ptoa(i)), tu_word((voff_t)ptoa(i)));
	end();
}

KTEST(B25_half_a_window_is_written, "of two pages one is complete when the source goes: the other keeps its content")
{
	for (int in_memory = 0; in_memory < 2; in_memory++) {
		size_t len = 2 * PAGE_SIZE;

		begin(8 * PAGE_SIZE);
		fill(TM_VA(0), 2 * PAGE_SIZE, 5);
		map_file(8 * PAGE_SIZE);
		if (in_memory)
			CHECK_EQ(load(FILE_VA + PAGE_SIZE), tu_word((voff_t)PAGE_SIZE));
		hook.before_copyin = unmap_source;
		go_away = 1;
		CHECK_EQ(sys_write(tm_proc, vp, 0, TM_VA(0), &len, 0), EFAULT);
		CHECK_EQ(len, PAGE_SIZE);
		hook.before_copyin = NULL;
		CHECK_EQ(load(FILE_VA), 5);
		for (vaddr_t va = PAGE_SIZE; va < 2 * PAGE_SIZE; va += 8)
			CHECK_EQ(load(FILE_VA + va), tu_word((voff_t)va));
		end();
	}
}

/*
 * The source is a mapping of the pages to be written, in the other order:
 *
 *	file	| 0 | 1 | 2 | 3 |
 *	          X       X		0 <- 1, 1 <- 0 within one window, and so on
 */
KTEST(T63_H3_write_from_a_mapping_of_the_same_pages, "write from a mapping of the same pages does not wait for itself")
{
	vaddr_t va = FILE_VA;

	begin(4 * PAGE_SIZE);
	map_file(4 * PAGE_SIZE);
	/* page 0 of the source is page 1 of the file, and the other way round */
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, RW, UMAP_SHARED | UMAP_FIXED, vp,
	    UF_READ | UF_WRITE, (voff_t)PAGE_SIZE), 0);
	va += PAGE_SIZE;
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, RW, UMAP_SHARED | UMAP_FIXED, vp,
	    UF_READ | UF_WRITE, 0), 0);
	wr(0, FILE_VA, 2 * PAGE_SIZE);
	CHECK_EQ(file_word(0), tu_word((voff_t)PAGE_SIZE));
	CHECK_EQ(file_word((voff_t)PAGE_SIZE + 8), tu_word((voff_t)PAGE_SIZE + 8));
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_SYNCIO), 0);
		wr(0, FILE_VA, 4 * PAGE_SIZE);
		wr((voff_t)PAGE_SIZE, FILE_VA, PAGE_SIZE + 16);
		rd(0, FILE_VA, 3 * PAGE_SIZE);
	}
	end();
}

/* The file's page is not in memory: an overwrite of it from itself must not make it zeroes. */
KTEST(T63_H3_page_that_is_not_in_memory_survives_a_write_from_itself,
    "a page that is not in memory survives a write from itself")
{
	begin(4 * PAGE_SIZE);
	map_file(4 * PAGE_SIZE);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_SYNCIO), 0);
		wr(0, FILE_VA, 4 * PAGE_SIZE);
		for (int p = 0; p < 4; p++)
			CHECK_EQ(load(FILE_VA + ptoa(p)), tu_word((voff_t)ptoa(p)));
	}
	end();
}

/* --- loans --- */

static struct vm_page *
lend(voff_t off)
{
	struct vm_page *pg;

	CHECK_EQ(uvm_loanuobjpages(obj, off, 1, &pg), 0);
	return pg;
}

static void
take_back(struct vm_page *pg)
{
	CHECK(pg->uobject == NULL && pg->loan_count == 1);
	uvm_unloan(&pg, 1, UVM_LOAN_TOPAGE);
}

KTEST(R15_write_breaks_loans, "write breaks loans, whichever way it goes")
{
	struct vm_page *pg[3];

	begin(4 * PAGE_SIZE);
	rd(0, TM_VA(4), 4 * PAGE_SIZE);
	fill(TM_VA(0), 4 * PAGE_SIZE, 5);
	for (int i = 0; i < 3; i++)
		pg[i] = lend((voff_t)ptoa(i));
	rd(0, TM_VA(4), 4 * PAGE_SIZE);		/* reading breaks nothing */
	CHECK(tu_lookup(obj, 0) == pg[0]);
	wr(0, TM_VA(0), PAGE_SIZE + 8);
	wr(2 * (voff_t)PAGE_SIZE, TM_VA(0), 2 * PAGE_SIZE);
	for (int i = 0; i < 3; i++) {
		CHECK(tu_lookup(obj, (voff_t)ptoa(i)) != pg[i]);
		CHECK_EQ(tu_words(pg[i])[0], tu_word((voff_t)ptoa(i)));
	}
	CHECK_EQ(file_word((voff_t)PAGE_SIZE), 5 + PAGE_SIZE);
	CHECK_EQ(file_word((voff_t)PAGE_SIZE + 8), tu_word((voff_t)PAGE_SIZE + 8));
	for (int i = 0; i < 3; i++)
		take_back(pg[i]);
	end();
}

/* The slow way begins: the page that was given up is what the file has. */
static void
look_at_second_page(bool nofault)
{
	CHECK(!nofault);
	CHECK_EQ(load(FILE_VA + PAGE_SIZE), tu_word((voff_t)PAGE_SIZE));
}

/* No memory to break the loan, twice; the second page of the window had no content. */
KTEST(T68_B25_no_memory_to_break_a_loan, "no memory to break a loan: nobody sees pages without content")
{
	struct vm_page *pg;

	begin(4 * PAGE_SIZE);
	map_file(4 * PAGE_SIZE);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_SYNCIO), 0);
	pg = lend(0);
	CHECK_EQ(tu_put(obj, (voff_t)PAGE_SIZE, 0, PGO_FREE | PGO_CLEANIT | PGO_SYNCIO), 0);
	fill(TM_VA(0), 2 * PAGE_SIZE, 5);
	hook.loanbreak_fails = 2;
	hook.before_copyin = look_at_second_page;
	wr(0, TM_VA(0), 2 * PAGE_SIZE);
	CHECK_EQ(hook.loanbreak_fails, 0);
	CHECK(tu_count(UVMC_ubc_fallback) > 0);
	CHECK_EQ(load(FILE_VA), 5);
	CHECK_EQ(load(FILE_VA + PAGE_SIZE + 8), 5 + PAGE_SIZE + 8);
	CHECK_EQ(tu_words(pg)[0], tu_word(0));
	take_back(pg);
	end();
}

/* --- holes and full disks --- */

KTEST(T71_I_OBJ_8_full_disk_is_the_writers_error, "a full disk is the writer's error, and the page stays read only")
{
	struct vm_page *pg;
	size_t len = 2 * PAGE_SIZE;
	uint64_t w;

	begin(8);
	CHECK_EQ(sys_ftruncate(tm_proc, vp, 8 * (voff_t)PAGE_SIZE), 0);
	map_file(8 * PAGE_SIZE);
	CHECK_EQ(load(FILE_VA + 4 * PAGE_SIZE), 0);
	pg = tu_lookup(obj, 4 * (voff_t)PAGE_SIZE);
	CHECK((pg->flags & (PG_RDONLY | PG_CLEAN)) == (PG_RDONLY | PG_CLEAN));
	CHECK((tu_lookup(obj, 0)->flags & PG_RDONLY) == 0);	/* there are data */
	hook.alloc_error = ENOSPC;
	CHECK_EQ(user_store(FILE_VA + 4 * PAGE_SIZE, 1), ENOSPC);
	CHECK_EQ(user_load(FILE_VA + 4 * PAGE_SIZE, &w), 0);
	CHECK((tu_lookup(obj, 4 * (voff_t)PAGE_SIZE)->flags & PG_RDONLY) != 0 && w == 0);
	fill(TM_VA(0), 2 * PAGE_SIZE, 5);
	CHECK_EQ(sys_write(tm_proc, vp, 4 * (voff_t)PAGE_SIZE, TM_VA(0), &len, 0), ENOSPC);
	CHECK_EQ(len, 0);
	len = 8;
	CHECK_EQ(sys_write(tm_proc, vp, 5 * (voff_t)PAGE_SIZE + 8, TM_VA(0), &len, 0), ENOSPC);
	CHECK_EQ(len, 0);
	len = 2 * PAGE_SIZE;
	CHECK_EQ(sys_append(tm_proc, vp, &(voff_t){ 0 }, TM_VA(0), &len), ENOSPC);
	CHECK_EQ(len, 0);
	CHECK_EQ(vp->v_size, 8 * PAGE_SIZE);
	len = 16;						/* where there are blocks all is well */
	CHECK_EQ(sys_write(tm_proc, vp, 0, TM_VA(0), &len, 0), 0);
	CHECK_EQ(load(FILE_VA + 4 * PAGE_SIZE), 0);
	hook.alloc_error = 0;
	store(FILE_VA + 4 * PAGE_SIZE, 1);
	CHECK((tu_lookup(obj, 4 * (voff_t)PAGE_SIZE)->flags & PG_RDONLY) == 0);
	CHECK_EQ(file_word(4 * (voff_t)PAGE_SIZE), 1);
	CHECK_EQ(sys_fsync(tm_proc, vp), 0);
	CHECK_EQ(tu_host_word(vp, 4 * (voff_t)PAGE_SIZE), 1);
	end();
}

KTEST(I_OBJ_8_private_store_over_a_hole_wants_no_blocks, "a private store over a hole wants no blocks")
{
	vaddr_t va = FILE_VA;

	begin(8);
	CHECK_EQ(sys_ftruncate(tm_proc, vp, 8 * (voff_t)PAGE_SIZE), 0);
	CHECK_EQ(sys_mmap(tm_proc, &va, 8 * PAGE_SIZE, RW, UMAP_PRIVATE | UMAP_FIXED, vp, UF_READ, 0), 0);
	hook.alloc_error = ENOSPC;
	store(FILE_VA + 4 * PAGE_SIZE, 1);
	CHECK_EQ(hook.allocs, 0);
	CHECK_EQ(file_word(4 * (voff_t)PAGE_SIZE), 0);
	end();
}

KTEST(I_OBJ_8_window_over_a_hole_is_read_only_until_written, "a window over a hole is read only until it is written")
{
	begin(8);
	CHECK_EQ(sys_ftruncate(tm_proc, vp, 4 * (voff_t)PAGE_SIZE), 0);
	CHECK_EQ(rd(0, TM_VA(0), 4 * PAGE_SIZE), 4 * PAGE_SIZE);
	CHECK_EQ(tm_load(2), 0);
	store(TM_VA(0), 77);
	wr(2 * (voff_t)PAGE_SIZE + 8, TM_VA(0), 8);
	CHECK(hook.allocs > 0);
	CHECK_EQ(file_word(2 * (voff_t)PAGE_SIZE + 8), 77);
	CHECK_EQ(file_word(2 * (voff_t)PAGE_SIZE), 0);
	end();
}

/* --- truncation --- */

KTEST(T65_I_SYS_8_regrown_file_reads_as_zeroes, "a regrown file reads as zeroes through windows and mappings")
{
	begin(8 * PAGE_SIZE);
	map_file(8 * PAGE_SIZE);
	rd(0, TM_VA(0), 8 * PAGE_SIZE);
	store(FILE_VA + 5 * PAGE_SIZE, 1);
	CHECK_EQ(sys_ftruncate(tm_proc, vp, 4 * (voff_t)PAGE_SIZE + 16), 0);
	CHECK_EQ(rd(4 * (voff_t)PAGE_SIZE, TM_VA(0), PAGE_SIZE), 16);
	CHECK_EQ(user_load(FILE_VA + 5 * PAGE_SIZE, &(uint64_t){ 0 }), EINVAL);
	CHECK_EQ(load(FILE_VA + 4 * PAGE_SIZE + 16), 0);
	CHECK_EQ(sys_ftruncate(tm_proc, vp, 8 * (voff_t)PAGE_SIZE), 0);
	CHECK_EQ(rd(4 * (voff_t)PAGE_SIZE, TM_VA(0), 4 * PAGE_SIZE), 4 * PAGE_SIZE);
	CHECK_EQ(load(TM_VA(0) + 8), tu_word(4 * (voff_t)PAGE_SIZE + 8));
	for (vaddr_t va = TM_VA(0) + 16; va < TM_VA(4); va += 8)
		CHECK_EQ(load(va), 0);
	CHECK_EQ(load(FILE_VA + 5 * PAGE_SIZE), 0);
	end();
}

/*
 * Before each piece of a write that extends, what it has stored so far is thrown out, and
 * somebody maps the page that the old end is in.
 */
static voff_t evict_end;

static void
evict(bool nofault)
{
	if (evict_end > 0)
		CHECK_EQ(tu_put(obj, 0, evict_end, PGO_FREE | PGO_CLEANIT | PGO_SYNCIO), 0);
	CHECK_EQ(user_load(FILE_VA, &(uint64_t){ 0 }), 0);
	CHECK_EQ(user_load(FILE_VA + PAGE_SIZE, &(uint64_t){ 0 }), EINVAL);
}

/* old end  | 100 .|     |     |		| 100 .|     |     |     |
 * write    |    ==|==========|===		|      |     |  ===|==========|===
 * evicted  |------|				|------------------|		*/
KTEST(extension_under_pressure_keeps_what_was_written, "an extension keeps what was written and thrown out before its end")
{
	static const struct {
		voff_t from, evicted;
	} cases[] = { { 104, PAGE_SIZE }, { 2 * PAGE_SIZE + 8, 3 * PAGE_SIZE } };

	for (int i = 0; i < 2; i++) {
		begin(104);
		map_file(8 * PAGE_SIZE);
		fill(TM_VA(0), 5 * PAGE_SIZE, 3);
		hook.before_copyin = evict;
		evict_end = cases[i].evicted;
		CHECK_EQ(wr(cases[i].from, TM_VA(0), 4 * PAGE_SIZE), 4 * PAGE_SIZE);
		hook.before_copyin = NULL;
		CHECK_EQ(vp->v_size, cases[i].from + 4 * (voff_t)PAGE_SIZE);
		rd(cases[i].from, TM_VA(8), 4 * PAGE_SIZE);
		check_fill(TM_VA(8), 4 * PAGE_SIZE, 3);
		CHECK_EQ(file_word(96), tu_word(96));
		end();
	}
}

KTEST(tail_of_an_overwritten_last_page_is_zero, "the tail of a last page that was overwritten is zero")
{
	begin(8);
	map_file(4 * PAGE_SIZE);
	tu_take(1000, 0);
	tu_release();			/* the frames that come next hold something */
	fill(TM_VA(0), 2 * PAGE_SIZE, 3);
	wr((voff_t)PAGE_SIZE, TM_VA(0), PAGE_SIZE + 64);
	CHECK(tu_count(UVMC_ubc_faultbusy) > 0);
	for (vaddr_t va = 2 * PAGE_SIZE + 64; va < 3 * PAGE_SIZE; va += 8)
		CHECK_EQ(load(FILE_VA + va), 0);
	end();
}

/* --- who may do what --- */

KTEST_DEATH(B22_window_without_the_vnode_locked, "a window without the vnode locked", "B-22")
{
	vsize_t len = 8;
	vaddr_t va;

	begin(PAGE_SIZE);
	(void)ubc_alloc(obj, 0, &len, UBC_READ, &va);
}

KTEST_DEATH(B22_writers_window_with_the_vnode_locked_for_reading, "a writer's window with the vnode locked for reading", "B-22")
{
	vsize_t len = 8;
	vaddr_t va;

	begin(PAGE_SIZE);
	rw_enter(&vp->v_lock, RW_READER);
	(void)ubc_alloc(obj, 0, &len, UBC_WRITE, &va);
}

KTEST_DEATH(B22_reader_releases_a_writers_window, "a reader that releases a writer's window", "I-UBC-5")
{
	vsize_t len = 8;
	vaddr_t va;

	begin(PAGE_SIZE);
	rw_enter(&vp->v_lock, RW_WRITER);
	CHECK_EQ(ubc_alloc(obj, 0, &len, UBC_WRITE, &va), 0);
	ubc_release(va, 0, UBC_READ);
}

KTEST_DEATH(I_UBC_5_second_writer_of_a_window, "a second writer of a window", "I-UBC-5")
{
	vsize_t len = 8;
	vaddr_t va;

	begin(PAGE_SIZE);
	rw_enter(&vp->v_lock, RW_WRITER);
	CHECK_EQ(ubc_alloc(obj, 0, &len, UBC_WRITE, &va), 0);
	(void)ubc_alloc(obj, 8, &len, UBC_WRITE, &va);
}

KTEST_DEATH(I_UBC_5_store_to_a_readers_window, "a store to a reader's window", "I-UBC-5")
{
	vsize_t len = 8;
	vaddr_t va;

	begin(PAGE_SIZE);
	rw_enter(&vp->v_lock, RW_READER);
	CHECK_EQ(ubc_alloc(obj, 0, &len, UBC_READ, &va), 0);
	(void)kern_store(va, 1);
}

KTEST_DEATH(I_UBC_4_overwritten_page_is_lent, "a page that is overwritten is lent meanwhile", "I-UBC-4")
{
	vsize_t len = PAGE_SIZE;
	vaddr_t va;

	begin(PAGE_SIZE);
	rw_enter(&vp->v_lock, RW_WRITER);
	CHECK_EQ(ubc_alloc(obj, 0, &len, UBC_WRITE | UBC_FAULTBUSY, &va), 0);
	tu_lookup(obj, 0)->loan_count++;
	ubc_release(va, len, UBC_WRITE | UBC_FAULTBUSY);
}

KTEST_MAIN()
