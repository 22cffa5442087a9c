/*
 * Processes: the table, references, threads that come and go.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#include <sys/sleepq.h>

#define	NPAGES	4096

static void
begin(int ncpus)
{
	tm_boot(ncpus, NPAGES);
}

KTEST(process_is_found_until_it_exits, "a pid finds its process, with a reference, until it exits")
{
	struct proc *p, *q;
	uint32_t pid;

	begin(1);
	CHECK_EQ(proc_create("one", &p), 0);
	pid = p->p_pid;
	CHECK(pid != 0 && pid != tm_proc->p_pid);
	CHECK(strcmp(p->p_name, "one") == 0);
	q = proc_find(pid);
	CHECK(q == p);
	CHECK(proc_find(pid + 1000) == NULL);
	CHECK_EQ(proc_count(), 2);
	proc_exit(p);
	CHECK(proc_find(pid) == NULL);
	rcu_barrier();
	CHECK_EQ(proc_count(), 2);		/* the finder still has it */
	CHECK(proc_vmspace_hold(q) == NULL);	/* but not its address space */
	CHECK_EQ(q->p_pid, pid);
	proc_rele(q);
	rcu_barrier();
	CHECK_EQ(proc_count(), 1);
	tm_shutdown();
}

KTEST(long_name_is_cut, "a name of any length is a string")
{
	struct proc *p;

	begin(1);
	CHECK_EQ(proc_create("a name that is quite a bit longer than thirty-two", &p), 0);
	CHECK_EQ(strlen(p->p_name), sizeof(p->p_name) - 1);
	proc_exit(p);
	tm_shutdown();
}

static void
count_one(struct proc *p, void *arg)
{
	++*(int *)arg;
}

KTEST(pids_are_not_reused, "many processes have many pids; foreach sees each once")
{
	struct proc *p[20];
	uint32_t last = 0;
	int n = 0;

	begin(1);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 20; i++) {
			CHECK_EQ(proc_create("p", &p[i]), 0);
			CHECK(p[i]->p_pid > last);
			last = p[i]->p_pid;
		}
		n = 0;
		proc_foreach(count_one, &n);
		CHECK_EQ(n, 21);
		for (int i = 0; i < 20; i++)
			proc_exit(p[(i * 7 + round) % 20]);
	}
	n = 0;
	proc_foreach(count_one, &n);
	CHECK_EQ(n, 1);
	CHECK_EQ(vmspace_count(), 1);
	tm_shutdown();
}

static void
in_order(struct proc *p, void *arg)
{
	uint32_t *last = arg;

	CHECK(p->p_pid > last[0]);
	last[0] = p->p_pid;
	last[1]++;
}

KTEST(foreach_goes_by_pid, "each process once, the oldest first, wherever the table has them")
{
	struct proc *p[40];
	uint32_t seen[2] = { 0, 0 };

	begin(1);
	for (;;) {
		CHECK_EQ(proc_create("p", &p[0]), 0);
		if (p[0]->p_pid >= 240)
			break;
		proc_exit(p[0]);
	}
	for (int i = 1; i < 40; i++)		/* the table has 256 heads */
		CHECK_EQ(proc_create("p", &p[i]), 0);
	proc_foreach(in_order, seen);
	CHECK_EQ(seen[1], 41);
	for (int i = 0; i < 40; i++)
		proc_exit(p[i]);
	tm_shutdown();
}

KTEST(exit_leaves_the_others_of_its_list, "a process that exits before a younger one of the same hash list takes nobody else out of it")
{
	struct proc *old, *young, *other;

	begin(1);
	CHECK_EQ(proc_create("old", &old), 0);
	for (;;) {
		CHECK_EQ(proc_create("p", &young), 0);
		if (young->p_pid == old->p_pid + 256)
			break;
		proc_exit(young);
	}
	CHECK_EQ(proc_create("other", &other), 0);
	proc_exit(old);
	CHECK(proc_find(old->p_pid) == NULL);
	CHECK(proc_find(young->p_pid) == young && proc_find(other->p_pid) == other);
	proc_rele(young);
	proc_rele(other);
	proc_exit(young);
	proc_exit(other);
	tm_shutdown();
}

KTEST(exit_frees_everything, "a process that exits gives back pages, wirings, entries, file references")
{
	struct proc *p;
	struct vnode *vp;
	vaddr_t va = TM_VA(8);
	uint64_t wired, anons, entries;

	begin(1);
	vp = tu_file(ptoa(4));
	wired = uvm.wired;
	anons = uvm_anon_count();
	entries = uvm_mapent_count();
	CHECK_EQ(proc_create("p", &p), 0);
	proc_attach(p);
	tm_put(p, "aaaassoo");
	CHECK_EQ(sys_mmap(p, &va, ptoa(4), VM_PROT_READ | VM_PROT_WRITE, UMAP_PRIVATE | UMAP_FIXED,
	    vp, UF_READ, 0), 0);
	for (int i = 0; i < 12; i++)
		tm_store(i, 1);
	CHECK_EQ(sys_mlockall(p, UMCL_CURRENT), 0);
	proc_attach(tm_proc);
	proc_exit(p);
	CHECK_EQ(uvm.wired, wired);
	CHECK_EQ(uvm_anon_count(), anons);
	CHECK_EQ(uvm_mapent_count(), entries);
	CHECK_EQ(amap_count(), 0);
	CHECK_EQ(vp->v_uobj.uo_refs, 1);
	CHECK_EQ(vmspace_count(), 1);
	vrele(vp);
	tm_shutdown();
}

KTEST(exec_drops_all_mappings, "exec leaves an empty space with a fresh heap and no mlockall(FUTURE)")
{
	vaddr_t va = TM_BASE;

	begin(1);
	tm_put(tm_proc, "aaso");
	tm_store(0, 1);
	CHECK_EQ(sys_obreak(tm_proc, VM_HEAP_ADDRESS + 100), 0);
	CHECK_EQ(sys_mlockall(tm_proc, UMCL_CURRENT | UMCL_FUTURE), 0);
	uvmspace_exec(tm_proc);
	CHECK_EQ(tm_map(tm_proc)->nentries, 0);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(tm_proc->p_vmspace->vm_dend, VM_HEAP_ADDRESS);
	CHECK_EQ(tm_load_error(0), EFAULT);
	CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_ANON | UMAP_FIXED, NULL, 0, 0), 0);
	CHECK_EQ(uvm.wired, 0);
	CHECK_EQ(tm_load(0), 0);
	tm_shutdown();
}

KTEST(attach_switches_the_address_space, "an LWP sees the memory of the process that it is attached to, at once")
{
	struct proc *p;

	begin(1);
	CHECK_EQ(proc_create("p", &p), 0);
	tm_put(tm_proc, "a");
	tm_put(p, "a");
	for (int i = 0; i < 10; i++) {
		proc_attach(tm_proc);
		tm_store(0, 1);
		proc_attach(p);
		tm_store(0, 2);
		proc_attach(tm_proc);
		CHECK_EQ(tm_load(0), 1);
		proc_attach(p);
		CHECK_EQ(tm_load(0), 2);
	}
	proc_attach(tm_proc);
	proc_exit(p);
	tm_shutdown();
}

/* --- threads --- */

static void
attached(struct tm_thread *tt)
{
	CHECK(curlwp->l_proc == tt->tt_arg);
	CHECK(curlwp->l_pmap == curlwp->l_proc->p_vmspace->vm_map.pmap);
	tm_store(tt->tt_number, (uint64_t)tt->tt_number + 7);
}

KTEST(thread_is_attached_before_it_runs, "threads of a process run in it, and share its memory")
{
	struct tm_thread tt[4];

	begin(4);
	tm_put(tm_proc, "aaaa");
	tm_start(tm_proc, tt, 4, attached, tm_proc);
	tm_wait(tt, 4);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(tm_load(i), i + 7);
	tm_shutdown();
}

/* --- killed for want of memory --- */

static bool has_memory;			/* atomic */

static void
dying_main(void *arg)
{
	struct proc *child;
	void *page;

	CHECK_EQ(proc_fork(tm_proc, "child", &child), ENOMEM);
	page = kmem_alloc(PAGE_SIZE, KM_SLEEP);
	__atomic_store_n(&has_memory, true, __ATOMIC_RELAXED);
	kmem_free(page, PAGE_SIZE);
}

KTEST(R35_killed_process_does_not_wait_for_its_own_end, "who is killed has the reserve, so that it comes to its end")
{
	struct lwp *l;

	begin(1);
	CHECK_EQ(proc_lwp_create(tm_proc, &l, "dying", dying_main, NULL), 0);
	tu_exhaust();
	uvm_wait("test");
	CHECK(!uvm_reclaimable() && uvm.free > uvm.reserve_pagedaemon);
	tu_take(uvm.npages, UVM_PGA_USERESERVE);	/* others that may not wait have taken it */
	CHECK(!proc_dying());
	proc_kill(tm_proc);
	CHECK(proc_dying());
	lwp_start(l);
	for (int ms = 0; ms < 1000 && !__atomic_load_n(&has_memory, __ATOMIC_RELAXED); ms++)
		kpause("dying", 1000000);
	CHECK(__atomic_load_n(&has_memory, __ATOMIC_RELAXED));
	lwp_wait(l);
	tu_release();
	tm_shutdown();
}

/* => all that pools have of that size, and the reserve, chained */
static void *
hoard(size_t size)
{
	void *item, *all = NULL;

	while ((item = kmem_alloc(size, KM_NOSLEEP)) != NULL) {
		*(void **)item = all;
		all = item;
	}
	return all;
}

static void
give_up(void *all, size_t size)
{
	while (all != NULL) {
		void *next = *(void **)all;

		kmem_free(all, size);
		all = next;
	}
}

static void
forking_main(void *arg)
{
	struct proc *child;

	CHECK_EQ(proc_vfork(tm_proc, "child", &child), ENOMEM);
	__atomic_store_n(&has_memory, true, __ATOMIC_RELAXED);
}

KTEST(R35_killed_while_it_forks, "a process that is killed while it waits for memory to fork gets that, and does not fork")
{
	const uint64_t procs = proc_count();
	struct proc *child;
	void *of_proc;
	struct lwp *l;

	begin(1);
	CHECK_EQ(proc_lwp_create(tm_proc, &l, "forking", forking_main, NULL), 0);
	tu_exhaust();
	of_proc = hoard(sizeof(struct proc));
	CHECK_EQ(proc_fork(tm_proc, "child", &child), ENOMEM);	/* nobody has any, or will have */
	__atomic_store_n(&has_memory, false, __ATOMIC_RELAXED);
	lwp_start(l);
	for (int ms = 0; ms < 30; ms++)
		kpause("wait", 1000000);
	CHECK(!__atomic_load_n(&has_memory, __ATOMIC_RELAXED));
	proc_kill(tm_proc);
	lwp_wait(l);
	CHECK(__atomic_load_n(&has_memory, __ATOMIC_RELAXED));
	CHECK_EQ(proc_count(), procs + 1);
	give_up(of_proc, sizeof(struct proc));
	tu_release();
	tm_shutdown();
}

/* --- vfork --- */

/* What the child does in its parent's address space, and how it leaves it. */
struct vfork_test {
	struct proc	*vt_child;
	bool		 vt_execs;
	bool		 vt_left;	/* atomic: it is about to */
};

static void
vforked(void *arg)
{
	struct vfork_test *vt = arg;
	vaddr_t va = TM_BASE;

	CHECK(curlwp->l_proc == vt->vt_child && vt->vt_child->p_vmspace == tm_proc->p_vmspace);
	CHECK_EQ(tm_load(0), 1);
	tm_store(0, 2);
	for (int i = 0; i < 20; i++)
		lwp_userret(1);
	TU_WAIT(sleepq_has_waiters(&vt->vt_child->p_shares));
	__atomic_store_n(&vt->vt_left, true, __ATOMIC_RELAXED);
	if (!vt->vt_execs) {
		proc_attach(NULL);
		proc_exit(vt->vt_child);
		return;
	}
	uvmspace_exec(vt->vt_child);
	CHECK(vt->vt_child->p_vmspace != tm_proc->p_vmspace && !proc_shares(vt->vt_child));
	CHECK_EQ(tm_load_error(0), EFAULT);
	CHECK_EQ(sys_mmap(vt->vt_child, &va, PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_ANON | UMAP_FIXED, NULL, 0, 0), 0);
	CHECK_EQ(tm_load(0), 0);
	tm_store(0, 3);
}

static void
count_space(struct vmspace *vm, void *arg)
{
	++*(int *)arg;
}

static void
vfork_and_wait(bool execs)
{
	struct vfork_test vt = { .vt_execs = execs };
	struct lwp *l;
	int spaces = 0;

	begin(2);
	tm_put(tm_proc, "aa");
	tm_store(0, 1);
	CHECK_EQ(proc_vfork(tm_proc, "v", &vt.vt_child), 0);
	CHECK(tm_proc->p_vmspace->vm_refcnt == 2 && vmspace_count() == 1 && uvm_anon_count() == 1);
	vmspace_foreach(count_space, &spaces);
	CHECK_EQ(spaces, 1);
	CHECK_EQ(proc_lwp_create(vt.vt_child, &l, "v", vforked, &vt), 0);
	lwp_start(l);
	proc_vfork_wait(vt.vt_child);
	CHECK(__atomic_load_n(&vt.vt_left, __ATOMIC_RELAXED));
	CHECK_EQ(tm_load(0), 2);		/* its store was to what is ours */
	CHECK_EQ(tm_load(1), 0);
	TM_SHAPE(tm_proc, "aa");
	lwp_wait(l);
	CHECK_EQ(vmspace_count(), execs ? 2 : 1);
	if (execs)
		proc_exit(vt.vt_child);
	CHECK(tm_proc->p_vmspace->vm_refcnt == 1 && vmspace_count() == 1);
	CHECK(tu_count(UVMC_forks_sharevm) == 1 && tu_count(UVMC_forks_ppwait) == 1);
	tm_shutdown();
}

KTEST(vfork_waits_for_exec, "a child of vfork stores to its parent's memory, and leaves it alone from its exec on")
{
	vfork_and_wait(true);
}

KTEST(vfork_waits_for_exit, "a child of vfork that exits leaves its parent's memory as it is")
{
	vfork_and_wait(false);
}

KTEST(exec_of_a_space_that_is_looked_at, "exec leaves to a debugger what he has in his hands, and takes another space")
{
	struct vmspace *vm;

	begin(1);
	tm_put(tm_proc, "aa");
	tm_store(1, 5);
	vm = proc_vmspace_hold(tm_proc);
	uvmspace_exec(tm_proc);
	CHECK(tm_proc->p_vmspace != vm && vm->vm_map.nentries == 1 && uvm_anon_count() == 1);
	CHECK(curlwp->l_pmap == tm_proc->p_vmspace->vm_map.pmap);
	CHECK_EQ(tm_load_error(1), EFAULT);
	uvmspace_free(vm);
	CHECK(vmspace_count() == 1 && uvm_anon_count() == 0);
	tm_shutdown();
}

/* Processes come and go while others look them up. */
static void
finder(struct tm_thread *tt)
{
	uint32_t pid = 1;

	do {
		for (int i = 0; i < 32; i++) {
			struct proc *p = proc_find(pid + (uint32_t)i);

			if (p == NULL)
				continue;
			CHECK_EQ(p->p_pid, pid + i);
			CHECK(p->p_name[0] == 't' || p->p_name[0] == 'c');
			proc_rele(p);
		}
		pid = pid % 500 + 16;
	} while (tm_go_on(tt));
}

KTEST(look_ups_against_exits, "proc_find sees a whole process or none, however many come and go")
{
	struct tm_thread tt[3];
	struct proc *p[4] = { 0 };

	begin(4);
	tm_put(tm_proc, "aa");
	tm_store(0, 3);
	tm_start(NULL, tt, 3, finder, NULL);
	for (int i = 0; i < 400; i++) {
		if (p[i % 4] != NULL)
			proc_exit(p[i % 4]);
		CHECK_EQ(proc_fork(tm_proc, "c", &p[i % 4]), 0);
		lwp_userret(16);
	}
	for (int i = 0; i < 4; i++)
		proc_exit(p[i]);
	tm_stop();
	tm_wait(tt, 3);
	rcu_barrier();
	CHECK_EQ(proc_count(), 1);
	CHECK_EQ(vmspace_count(), 1);
	tm_shutdown();
}

KTEST_DEATH(I_RCU_1_reader_meets_a_freed_process, "a look-up that meets a process which is freed panics", "I-RCU-1")
{
	begin(1);
	tm_proc->p_alive = 0;
	(void)proc_find(tm_proc->p_pid + 256);	/* the same list */
}

KTEST_MAIN()
