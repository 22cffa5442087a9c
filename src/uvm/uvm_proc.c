/*
 * Processes.
 *
 * The table is a hash by pid, read under RCU.  A process is referenced by the
 * table, by its threads while they run, and by who has found it; the last
 * reference frees it after a grace period, so that a look-up may look at a
 * process that is going away, and find that it has no reference left to give.
 *
 * A child of vfork is in its parent's address space, and the parent's LWP waits until it
 * has left that by exec or exit; the parent's other LWPs go on.
 */
#include <uvm/uvm_glue.h>
#include <uvm/uvm_proc.h>

#include <string.h>

#include <host/rcu.h>
#include <host/sched.h>
#include <sys/bug.h>
#include <sys/inject.h>
#include <sys/kernhist.h>
#include <sys/sleepq.h>

#include "uvm_map_i.h"

#define	NHASH	256

static kmutex_t	proc_lock;			/* LC_proc */
static struct proc *proc_hash[NHASH];		/* proc_lock to write, RCU to read */
static LIST_HEAD(, proc) proc_waited;		/* proc_lock: children of vfork that are waited for */
static uint32_t	last_pid;			/* proc_lock */
static uint64_t	nproc;				/* atomic: structures alive */

void
uvm_proc_init(void)
{
	mutex_init(&proc_lock, MUTEX_DEFAULT, IPL_NONE, LC_proc);
	LIST_INIT(&proc_waited);
	last_pid = 0;
}

void
uvm_proc_fini(void)
{
	rcu_barrier();
	if (proc_count() != 0)
		violation(VIOL_LEAK, "proc-leak", "%lu processes did not exit",
		    (unsigned long)proc_count());
	mutex_destroy(&proc_lock);
}

uint64_t
proc_count(void)
{
	return __atomic_load_n(&nproc, __ATOMIC_RELAXED);
}

static void
proc_publish(struct proc *p)
{
	struct proc **head;

	mutex_enter(&proc_lock);
	head = &proc_hash[++last_pid % NHASH];
	p->p_hash = *head;
	if (BUG(publish_early))
		rcu_publish(*head, p);
	p->p_pid = last_pid;
	if (!BUG(publish_early))
		rcu_publish(*head, p);
	kernhist_log(KE_proc_enter, last_pid, 0, 0);
	mutex_exit(&proc_lock);
}

static int
proc_make(const char *name, const struct proc *parent, struct vmspace *vm, bool shares,
    struct proc **pp)
{
	struct proc *p = kmem_zalloc(sizeof(*p), KM_SLEEP);

	if (parent != NULL && proc_dying()) {	/* killed while it waited: its end is waited for */
		kmem_free(p, sizeof(*p));
		uvmspace_free(vm);
		return ENOMEM;
	}
	strncpy(p->p_name, name, sizeof(p->p_name) - 1);
	p->p_vmspace = vm;
	p->p_refs = shares ? 2 : 1;	/* the table's, and of who waits */
	p->p_shares = shares;
	p->p_alive = PROC_ALIVE;
	uvm_rlimit_inherit(p, parent);
	__atomic_fetch_add(&nproc, 1, __ATOMIC_RELAXED);
	proc_publish(p);
	*pp = p;
	return 0;
}

int
proc_create(const char *name, struct proc **pp)
{
	return proc_make(name, NULL, uvmspace_alloc(VM_MIN_ADDRESS, VM_MAXUSER_ADDRESS), false, pp);
}

/*
 * What a fork takes is waited for without end, so it asks before, where it can still be refused (R40).
 * => false: there is no memory, and none to be had
 */
static bool
memory_to_fork(unsigned *waits)
{
	while (uvm_km_memory_low())
		if (!uvm_wait_again(waits, "fork"))
			return false;
	return true;
}

int
proc_fork(struct proc *parent, const char *name, struct proc **childp)
{
	struct vmspace *vm = NULL;
	unsigned waits = 0;

	if (!proc_dying() && memory_to_fork(&waits))
		vm = uvmspace_fork(parent->p_vmspace);
	if (vm == NULL)
		return ENOMEM;
	if (!memory_to_fork(&waits)) {
		uvmspace_free(vm);
		return ENOMEM;
	}
	return proc_make(name, parent, vm, false, childp);
}

void
proc_kill(struct proc *p)
{
	/* relaxed: who waits for memory looks again and again */
	__atomic_store_n(&p->p_killed, true, __ATOMIC_RELAXED);
}

bool
proc_killed(const struct proc *p)
{
	/* relaxed: pairs with proc_kill() */
	return __atomic_load_n(&p->p_killed, __ATOMIC_RELAXED);
}

bool
proc_dying(void)
{
	return curlwp->l_proc != NULL && proc_killed(curlwp->l_proc);
}

/* --- vfork --- */

int
proc_vfork(struct proc *parent, const char *name, struct proc **childp)
{
	return proc_make(name, parent, uvmspace_share(parent->p_vmspace), true, childp);
}

bool
proc_shares(const struct proc *p)
{
	return __atomic_load_n(&p->p_shares, __ATOMIC_RELAXED);
}

/* => p has left its parent's address space, if that is where it was; by p, or who ends it */
static void
wake_parent(struct proc *p)
{
	if (!proc_shares(p))
		return;
	mutex_enter(&proc_lock);
	/* relaxed: pairs with proc_shares() */
	__atomic_store_n(&p->p_shares, false, __ATOMIC_RELAXED);
	wakeup(&p->p_shares);
	mutex_exit(&proc_lock);
}

void
proc_vfork_wait(struct proc *child)
{
	mutex_enter(&proc_lock);
	LIST_INSERT_HEAD(&proc_waited, child, p_waited);
	if (child->p_shares)
		UVMCNT(forks_ppwait);
	while (child->p_shares) {
		/* patient: the child may stand at its user boundary, and then so do we */
		lwp_patient(true);
		(void)mtsleep(&child->p_shares, false, "vfork", 0, &proc_lock);
		lwp_patient(false);
	}
	LIST_REMOVE(child, p_waited);
	mutex_exit(&proc_lock);
	proc_rele(child);
}

struct lwp *
proc_vfork_forgotten(void)
{
	struct lwp *l = NULL;
	struct proc *p;

	/* not by the table: who has exited is not there */
	mutex_enter(&proc_lock);
	LIST_FOREACH(p, &proc_waited, p_waited)
		if (!p->p_shares && l == NULL)
			l = sleepq_sleeper(&p->p_shares);
	mutex_exit(&proc_lock);
	return l;
}

void
proc_newspace(struct proc *p, struct vmspace *vm)
{
	struct vmspace *old = p->p_vmspace;

	vm->vm_map.limit = uvm_rlimit(p, URLIMIT_AS);
	mutex_enter(&proc_lock);
	p->p_vmspace = vm;
	mutex_exit(&proc_lock);
	if (curlwp->l_proc == p)
		proc_attach(p);		/* out of the old pmap, before its last reference may go */
	uvmspace_free(old);
	wake_parent(p);
}

static void
proc_free_rcu(struct rcu_head *rh)
{
	struct proc *p = (struct proc *)((char *)rh - offsetof(struct proc, p_rcu));

	/* relaxed: pairs with assert_alive(), which finds it so if nobody has waited for readers */
	__atomic_store_n(&p->p_alive, 0, __ATOMIC_RELAXED);
	kernhist_log(KE_proc_free, p->p_pid, 0, 0);
	kmem_free(p, sizeof(*p));
	__atomic_fetch_sub(&nproc, 1, __ATOMIC_RELAXED);
}

void
proc_rele(struct proc *p)
{
	const uint32_t pid = p->p_pid;		/* for when it is somebody else's to free */
	int refs;

	host_point(HP_ATOMIC, pid);
	/* acq_rel: what all holders did comes before the free */
	refs = __atomic_sub_fetch(&p->p_refs, 1, __ATOMIC_ACQ_REL);
	kernhist_log(KE_proc_unref, pid, (uint32_t)refs, 0);
	if (refs != 0)
		return;
	if (BUG(free_at_once))
		proc_free_rcu(&p->p_rcu);
	else
		call_rcu(&p->p_rcu, proc_free_rcu);
}

void
proc_exit(struct proc *p)
{
	struct proc **link;
	struct vmspace *vm;

	KASSERT(curlwp->l_proc != p);
	mutex_enter(&proc_lock);
	for (link = &proc_hash[p->p_pid % NHASH]; *link != p; link = &(*link)->p_hash)
		KASSERT(*link != NULL);
	rcu_publish(*link, p->p_hash);
	vm = p->p_vmspace;
	p->p_vmspace = NULL;
	kernhist_log(KE_proc_leave, p->p_pid, 0, 0);
	mutex_exit(&proc_lock);
	uvmspace_free(vm);
	wake_parent(p);
	proc_rele(p);
}

struct vmspace *
proc_vmspace_hold(struct proc *p)
{
	struct vmspace *vm;

	mutex_enter(&proc_lock);
	vm = p->p_vmspace;
	if (vm != NULL)		/* relaxed: the process' own reference is there as long as we hold the lock */
		__atomic_add_fetch(&vm->vm_refcnt, 1, __ATOMIC_RELAXED);
	mutex_exit(&proc_lock);
	return vm;
}

/* => in a reader's section that has found it by this number: it is neither freed nor another one */
static void
assert_alive(const struct proc *p, uint32_t pid)
{
	/* relaxed: pairs with proc_free_rcu() */
	KASSERTMSG_ABOUT(p->p_pid == pid && __atomic_load_n(&p->p_alive, __ATOMIC_RELAXED) == PROC_ALIVE, KS_proc, pid, NULL,
	    "I-RCU-1: a reader has process %u in its hands, and it is freed: no grace period was waited for",
	    pid);
}

/* => acquire: a process whose count is 0 is on its way out and cannot be had */
static bool
proc_tryref(struct proc *p, uint32_t pid)
{
	int refs;

	inject_delay(INJECT_rcu_delay);
	assert_alive(p, pid);
	host_point(HP_ATOMIC, p->p_pid);
	refs = __atomic_load_n(&p->p_refs, __ATOMIC_RELAXED);
	while (refs != 0)
		if (__atomic_compare_exchange_n(&p->p_refs, &refs, refs + 1, true, __ATOMIC_ACQUIRE,
		    __ATOMIC_RELAXED)) {
			KASSERTMSG_ABOUT(refs > 0, KS_proc, pid, NULL,
			    "I-RCU-1: process %u has no reference left, and a reader is given one", pid);
			return true;
		}
	return false;
}

/* => likewise: the next one of its hash list */
static struct proc *
hash_next(struct proc *p, uint32_t pid)
{
	assert_alive(p, pid);
	return rcu_deref(p->p_hash);
}

struct proc *
proc_find(uint32_t pid)
{
	struct proc *p;
	uint32_t found;

	rcu_read_lock();
	for (p = rcu_deref(proc_hash[pid % NHASH]); p != NULL; p = hash_next(p, found))
		if ((found = p->p_pid) == pid)
			break;
	if (p != NULL && !proc_tryref(p, pid))
		p = NULL;
	rcu_read_unlock();
	return p;
}

/* => the process of the lowest pid above after, with a reference, or NULL */
static struct proc *
proc_next(uint32_t after)
{
	struct proc *p, *next = NULL;
	uint32_t pid, lowest = 0;

	rcu_read_lock();
	for (unsigned i = 0; i < NHASH; i++)
		for (p = rcu_deref(proc_hash[i]); p != NULL; p = hash_next(p, pid)) {
			pid = p->p_pid;
			if (pid > after && (next == NULL || pid < lowest)) {
				next = p;
				lowest = pid;
			}
		}
	if (next != NULL && !proc_tryref(next, lowest))
		next = NULL;
	rcu_read_unlock();
	return next;
}

void
proc_foreach(void (*fn)(struct proc *, void *), void *arg)
{
	struct proc *p = NULL;
	uint32_t pid = 0;

	while ((p = proc_next(pid)) != NULL) {
		pid = p->p_pid;
		fn(p, arg);
		proc_rele(p);
	}
}

struct visit {
	void (*vi_fn)(struct vmspace *, void *);
	void *vi_arg;
};

static void
visit(struct proc *p, void *arg)
{
	const struct visit *vi = arg;

	if (!proc_shares(p))
		vi->vi_fn(p->p_vmspace, vi->vi_arg);
}

void
vmspace_foreach(void (*fn)(struct vmspace *, void *), void *arg)
{
	struct visit vi = { fn, arg };

	proc_foreach(visit, &vi);
}

void
proc_attach(struct proc *p)
{
	struct lwp *l = curlwp;

	l->l_proc = p;
	l->l_pmap = p != NULL ? p->p_vmspace->vm_map.pmap : NULL;
	pmap_activate(l);
}

/* What an LWP of a process starts with; freed by the LWP. */
struct lwp_birth {
	struct proc	*lb_proc;
	struct uarea	*lb_uarea;
	void		(*lb_fn)(void *);
	void		*lb_arg;
};

/* The LWP leaves the process' pmap before it ends: the process may be gone then. */
static void
proc_lwp_main(void *arg)
{
	struct lwp_birth lb = *(struct lwp_birth *)arg;

	kmem_free(arg, sizeof(lb));
	curlwp->l_addr = lb.lb_uarea;
	proc_attach(lb.lb_proc);
	lb.lb_fn(lb.lb_arg);
	proc_attach(NULL);
	curlwp->l_addr = NULL;
	uvm_uarea_free(lb.lb_uarea);
	KASSERTMSG(curlwp->l_proc == NULL && curlwp->l_pmap == NULL,
	    "%s gives its process back, and its CPU is still in that", curlwp->l_name);
	proc_rele(lb.lb_proc);
}

int
proc_lwp_create(struct proc *p, struct lwp **lp, const char *name, void (*fn)(void *), void *arg)
{
	struct lwp_birth *lb = kmem_alloc(sizeof(*lb), KM_SLEEP);
	int error;

	*lb = (struct lwp_birth){ .lb_proc = p, .lb_fn = fn, .lb_arg = arg };
	error = uvm_uarea_alloc(&lb->lb_uarea);
	if (error != 0) {
		kmem_free(lb, sizeof(*lb));
		return error;
	}
	__atomic_fetch_add(&p->p_refs, 1, __ATOMIC_RELAXED);	/* the caller has one */
	error = lwp_create(lp, NULL, name, proc_lwp_main, lb);
	if (error != 0) {
		uvm_uarea_free(lb->lb_uarea);
		kmem_free(lb, sizeof(*lb));
		proc_rele(p);
	}
	return error;
}
