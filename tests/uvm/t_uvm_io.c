/*
 * Debugger access to another process' memory (uvm-spec 1.16).
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#define	NPAGES	4096
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct proc *debugged;

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
	CHECK_EQ(proc_create("debugged", &debugged), 0);
}

static void
end(void)
{
	/* every window is gone */
	CHECK_EQ(exec_map->nentries, 0);
	tm_check(debugged);
	proc_exit(debugged);
	tm_shutdown();
}

static int
peek(vaddr_t va, void *buf, size_t *len)
{
	return sys_ptrace_io(debugged, va, buf, len, false);
}

static int
poke(vaddr_t va, const void *buf, size_t *len)
{
	return sys_ptrace_io(debugged, va, (void *)(uintptr_t)buf, len, true);
}

static uint64_t
peek_word(int page)
{
	uint64_t w = 0;
	size_t len = sizeof(w);

	CHECK_EQ(peek(TM_VA(page), &w, &len), 0);
	CHECK_EQ(len, sizeof(w));
	return w;
}

static void
poke_word(int page, uint64_t w)
{
	size_t len = sizeof(w);

	CHECK_EQ(poke(TM_VA(page), &w, &len), 0);
	CHECK_EQ(len, sizeof(w));
}

KTEST(debugger_sees_and_changes_memory, "a debugger reads what the process stored, and the process what the debugger stored")
{
	static const char lane[] = "aassoqqr";

	begin(1);
	tm_put(debugged, lane);
	for (int i = 0; i < 7; i++)
		tm_store_in(debugged, i, 40 + (uint64_t)i);
	for (int i = 0; i < 7; i++) {
		CHECK_EQ(peek_word(i), 40 + (uint64_t)i);
		poke_word(i, 50 + (uint64_t)i);
		CHECK_EQ(tm_load_in(debugged, i), 50 + (uint64_t)i);
	}
	/* untouched so far: both see zeroes, and it comes into being once */
	tm_put(debugged, ".........aa");
	CHECK_EQ(peek_word(9), 0);
	poke_word(10, 3);
	CHECK_EQ(tm_load_in(debugged, 9), 0);
	CHECK_EQ(tm_load_in(debugged, 10), 3);
	end();
}

KTEST(text_is_patched_and_the_file_is_not, "a store to a private read-only mapping of a file stays in the process")
{
	struct vnode *vp;
	vaddr_t va = TM_VA(0);

	begin(1);
	vp = tu_file((voff_t)ptoa(4));
	CHECK_EQ(sys_mmap(debugged, &va, ptoa(4), VM_PROT_READ | VM_PROT_EXECUTE,
	    UMAP_PRIVATE | UMAP_FIXED, vp, UF_READ, 0), 0);
	CHECK_EQ(tm_load_in(debugged, 1), tu_word((voff_t)ptoa(1)));
	CHECK_EQ(peek_word(1), tu_word((voff_t)ptoa(1)));
	poke_word(1, 0xcc);
	CHECK_EQ(tm_load_in(debugged, 1), 0xcc);
	CHECK_EQ(tm_load_in(debugged, 2), tu_word((voff_t)ptoa(2)));
	proc_attach(debugged);
	CHECK_EQ(tm_store_error(1), EACCES);
	proc_attach(tm_proc);
	CHECK_EQ(*tu_words(tu_resident(&vp->v_uobj, (voff_t)ptoa(1))), tu_word((voff_t)ptoa(1)));
	CHECK_EQ(sys_munmap(debugged, va, ptoa(4)), 0);
	CHECK_EQ(tu_host_word(vp, (voff_t)ptoa(1)), tu_word((voff_t)ptoa(1)));
	vrele(vp);
	end();
}

KTEST(cow_with_a_child, "what the debugger stores into the parent the child does not see")
{
	struct proc *child;

	begin(1);
	tm_put(debugged, "aaaa");
	for (int i = 0; i < 4; i++)
		tm_store_in(debugged, i, 60 + (uint64_t)i);
	CHECK_EQ(proc_fork(debugged, "child", &child), 0);
	poke_word(1, 7);
	CHECK_EQ(peek_word(2), 62);
	CHECK_EQ(tm_load_in(debugged, 1), 7);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(tm_load_in(child, i), 60 + (uint64_t)i);
	proc_exit(child);
	end();
}

KTEST(wired_memory_stays_wired, "a window onto wired memory leaves mapping and wiring alone")
{
	struct vm_page *pg;

	begin(1);
	tm_put(debugged, "aaqq");
	CHECK_EQ(sys_mlock(debugged, TM_VA(0), ptoa(4)), 0);
	for (int i = 0; i < 4; i++) {
		pg = tm_page(debugged, i);
		CHECK(pg != NULL);
		poke_word(i, 5);
		CHECK(tm_page(debugged, i) == pg);
		CHECK_EQ(tm_wire_count(debugged, i), 1);
	}
	CHECK_EQ(sys_munlock(debugged, TM_VA(0), ptoa(4)), 0);
	end();
}

KTEST(memory_that_a_device_has_stays_mapped, "a window onto a page that is wired for I/O leaves its mapping alone (I-MAP-13)")
{
	struct vm_page *pg;

	begin(1);
	tm_put(debugged, "q");
	tm_store_in(debugged, 0, 1);
	CHECK_EQ(uvm_vslock(debugged->p_vmspace, TM_VA(0), PAGE_SIZE, RW), 0);
	pg = tm_page(debugged, 0);
	poke_word(0, 5);
	CHECK(tm_page(debugged, 0) == pg);
	CHECK_EQ(tm_wire_count(debugged, 0), 1);
	uvm_vsunlock(debugged->p_vmspace, TM_VA(0), PAGE_SIZE);
	end();
}

KTEST(any_alignment, "bytes, odd ends and page borders")
{
	unsigned char out[9000], in[9000];
	size_t len;

	begin(1);
	tm_put(debugged, "aaaa");
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)(i * 7 + 1);
	for (vaddr_t off = 4089; off < 4103; off++) {
		len = sizeof(out);
		CHECK_EQ(poke(TM_VA(0) + off - 4000, out, &len), 0);
		CHECK_EQ(len, sizeof(out));
		memset(in, 0, sizeof(in));
		CHECK_EQ(peek(TM_VA(0) + off - 4000, in, &len), 0);
		CHECK(memcmp(in, out, sizeof(in)) == 0);
	}
	end();
}

KTEST(holes_and_ends, "a hole is EFAULT after what lies before it, the end of user space ends it, a wrap is EIO")
{
	static char buf[64 * PAGE_SIZE];
	vaddr_t top = VM_MAXUSER_ADDRESS - PAGE_SIZE;
	size_t len = 0, resid;

	begin(1);
	tm_put(debugged, "aa.a");
	CHECK_EQ(peek(TM_VA(2), buf, &len), 0);		/* nothing asked */
	len = 8;
	CHECK_EQ(peek(TM_VA(2), buf, &len), EFAULT);
	CHECK_EQ(len, 0);
	for (vaddr_t above = 0; above <= ptoa(2); above += PAGE_SIZE) {
		len = 8;
		CHECK_EQ(peek(VM_MAXUSER_ADDRESS + above, buf, &len), 0);
		CHECK_EQ(len, 0);
	}
	/* what lies below it is had */
	CHECK_EQ(sys_mmap(debugged, &top, PAGE_SIZE, RW, UMAP_ANON | UMAP_FIXED, NULL, 0, 0), 0);
	len = 64;
	CHECK_EQ(poke(VM_MAXUSER_ADDRESS - 16, buf, &len), 0);
	CHECK_EQ(len, 16);
	resid = 64;
	CHECK_EQ(uvm_io(tm_map(debugged), UINT64_MAX - 7, buf, &resid, false), EIO);
	CHECK_EQ(resid, 64);
	/* no right at all, now or ever */
	CHECK(uvm_map_reserve(tm_map(debugged), PAGE_SIZE, TM_VA(2), 0, &(vaddr_t){ 0 },
	    UVM_FLAG_FIXED));
	len = 8;
	CHECK_EQ(peek(TM_VA(2), buf, &len), EFAULT);
	end();
}

KTEST(smaller_windows_when_there_is_no_room, "with exec_map nearly full the window is halved until it fits; at one page it waits")
{
	static char buf[MAXPHYS];
	vaddr_t fill;
	vsize_t left;
	size_t len = sizeof(buf);

	begin(1);
	CHECK_EQ(tm_put_at(debugged, 0, 16, 'a'), 0);
	left = vm_map_max(exec_map) - vm_map_min(exec_map) - ptoa(2);
	fill = uvm_km_alloc(exec_map, left, 0, UVM_KMF_VAONLY);
	CHECK(fill != 0);
	memset(buf, 'x', sizeof(buf));
	CHECK_EQ(poke(TM_VA(0), buf, &len), 0);
	CHECK_EQ(len, sizeof(buf));
	CHECK_EQ(tu_count(UVMC_uvm_io_halved), 3);	/* 16 pages, 8, 4, 2 */
	CHECK_EQ(tu_count(UVMC_uvm_ios), 8);
	CHECK_EQ(tm_load_in(debugged, 15), 0x7878787878787878UL);
	uvm_km_free(exec_map, fill, left, UVM_KMF_VAONLY);
	end();
}

static void
poker_main(struct tm_thread *tt)
{
	uint64_t words[PAGE_SIZE / 8 + 1] = { [PAGE_SIZE / 8 - 1] = 7 };
	size_t len = sizeof(words);

	CHECK_EQ(poke(TM_VA(0) + 8, words, &len), 0);
	CHECK_EQ(len, sizeof(words));
}

KTEST(one_page_waits_for_room, "with exec_map full a debugger makes do with windows of one page, and waits for room for them")
{
	struct tm_thread tt;
	vaddr_t fill;
	vsize_t size;

	begin(2);
	tm_put(debugged, "aa");
	tm_store_in(debugged, 1, 9);
	size = vm_map_max(exec_map) - vm_map_min(exec_map);
	fill = uvm_km_alloc(exec_map, size, 0, UVM_KMF_VAONLY);
	CHECK(fill != 0);
	tm_start(NULL, &tt, 1, poker_main, NULL);
	TU_WAIT(__atomic_load_n(&exec_map->wantva, __ATOMIC_RELAXED));
	uvm_km_free(exec_map, fill, size, UVM_KMF_VAONLY);
	tm_wait(&tt, 1);
	CHECK_EQ(tm_load_in(debugged, 0), 0);
	CHECK_EQ(tm_load_in(debugged, 1), 7);
	end();
}

/* --- with the process running --- */

static void
counter_main(struct tm_thread *tt)
{
	/* Page 0: it counts.  Page 1: it echoes what the debugger says. */
	for (uint64_t n = 1; tm_go_on(tt); n++) {
		tm_store(0, n);
		tm_store(2, tm_load(1));
	}
}

static void
unmapper_main(struct tm_thread *tt)
{
	while (tm_go_on(tt)) {
		CHECK_EQ(tm_put_at(debugged, 4, 4, 'a'), 0);
		tm_store(5, 9);
		CHECK_EQ(sys_munmap(debugged, TM_VA(4), ptoa(4)), 0);
	}
}

KTEST(process_runs_meanwhile, "reads of a counter never go back, stores arrive, and what is unmapped meanwhile is EFAULT or there")
{
	struct tm_thread tt[2], un;
	uint64_t last = 0, w;
	size_t len;
	int error;

	begin(4);
	tm_put(debugged, "aaa");
	tm_start(debugged, tt, 1, counter_main, NULL);
	tm_start(debugged, &un, 1, unmapper_main, NULL);
	for (unsigned i = 0; i < ktest_scale(500); i++) {
		w = peek_word(0);
		CHECK(w >= last);
		last = w;
		poke_word(1, i);
		len = sizeof(w);
		error = peek(TM_VA(5), &w, &len);
		CHECK(error == 0 || error == EFAULT);
		CHECK(error != 0 || w == 0 || w == 9);
	}
	TU_WAIT(peek_word(2) == ktest_scale(500) - 1);
	tm_stop();
	tm_wait(tt, 1);
	tm_wait(&un, 1);
	end();
}

static void
debugger_main(struct tm_thread *tt)
{
	for (unsigned i = 0; i < ktest_scale(300); i++) {
		CHECK_EQ(peek_word(tt->tt_number % 3), 70);
		(void)tm_go_on(tt);
	}
}

KTEST(H4_many_debuggers_at_once, "six LWPs that open windows all the time get through")
{
	struct tm_thread tt[6];

	begin(4);
	tm_put(debugged, "aas");
	for (int i = 0; i < 3; i++)
		tm_store_in(debugged, i, 70);
	tm_start(NULL, tt, 6, debugger_main, NULL);
	tm_wait(tt, 6);
	end();
}

static void
exiter_main(struct tm_thread *tt)
{
	proc_exit(debugged);
}

KTEST(process_exits_meanwhile, "the address space lives as long as a debugger looks at it (I-MAP-16)")
{
	struct tm_thread tt;
	struct vmspace *vm;
	uint64_t w = 0;
	size_t len = 8, resid = 8;

	begin(2);
	tm_put(debugged, "aa");
	tm_store_in(debugged, 0, 8);
	vm = proc_vmspace_hold(debugged);
	tm_start(NULL, &tt, 1, exiter_main, NULL);
	tm_wait(&tt, 1);
	CHECK_EQ(uvm_io(&vm->vm_map, TM_VA(0), &w, &resid, false), 0);
	CHECK_EQ(w, 8);
	uvmspace_free(vm);
	CHECK_EQ(proc_create("debugged", &debugged), 0);
	CHECK_EQ(peek(TM_VA(0), &w, &len), EFAULT);
	end();
}

KTEST(process_has_exited, "ESRCH, and nothing was moved, from memory or address space")
{
	struct proc *gone;
	uint64_t w = 0;
	size_t len = 8;
	vaddr_t va = 0;

	begin(1);
	tm_put(debugged, "a");
	CHECK_EQ(proc_create("gone", &gone), 0);
	CHECK(proc_find(gone->p_pid) == gone);
	proc_exit(gone);
	CHECK_EQ(sys_ptrace_io(gone, TM_VA(0), &w, &len, false), ESRCH);
	CHECK_EQ(len, 0);
	CHECK_EQ(sys_extract(gone, TM_VA(0), PAGE_SIZE, debugged, &va, false), ESRCH);
	CHECK_EQ(sys_extract(debugged, TM_VA(0), PAGE_SIZE, gone, &va, true), ESRCH);
	CHECK_EQ(va, 0);
	TM_SHAPE(debugged, "a..");
	CHECK_EQ(debugged->p_vmspace->vm_refcnt, 1);
	proc_rele(gone);
	end();
}

/* --- memory of another process --- */

KTEST(extract_errors, "what is no whole page, is nothing, wraps or ends beyond user space is EINVAL, and nothing has moved")
{
	static const struct {
		vaddr_t	va;
		vsize_t	len;
		vaddr_t	to;
		int	error;
	} c[] = {
		{ TM_BASE + 8, PAGE_SIZE, 0, EINVAL },
		{ TM_BASE, PAGE_SIZE, TM_BASE + 8, EINVAL },
		{ TM_BASE, 0, 0, EINVAL },
		{ TM_BASE, (vsize_t)-1, 0, EINVAL },
		{ TM_BASE, (vsize_t)-1 - TM_BASE, 0, EINVAL },
		{ VM_MAXUSER_ADDRESS, PAGE_SIZE, 0, EINVAL },
		{ VM_MAXUSER_ADDRESS - PAGE_SIZE, PAGE_SIZE + 1, 0, EINVAL },
		{ TM_BASE, 1, 0, 0 },			/* a whole one */
	};

	begin(1);
	tm_put(debugged, "aa");
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		vaddr_t at = c[i].to;

		CHECK_EQ(sys_extract(debugged, c[i].va, c[i].len, tm_proc, &at, true), c[i].error);
		CHECK_EQ(at, c[i].error != 0 ? c[i].to : VM_MMAP_ADDRESS);
		CHECK_EQ(tm_map(tm_proc)->nentries, c[i].error == 0);
		CHECK_EQ(tm_map(debugged)->size, ptoa(c[i].error != 0 ? 2 : 1));
	}
	end();
}

KTEST_MAIN()
