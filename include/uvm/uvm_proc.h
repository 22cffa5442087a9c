/*
 * Processes and their address spaces.
 */
#ifndef UVM_UVM_PROC_H
#define UVM_UVM_PROC_H

#include <sys/lwp.h>
#include <uvm/uvm_map.h>

struct vnode;

/*	m  vm_map.lock	@  atomic	*/
struct vmspace {
	struct vm_map	 vm_map;
	int		 vm_refcnt;		/* @: its processes, and who holds it (I-MAP-16) */
	vaddr_t		 vm_daddr;		/* m: start of the heap */
	vaddr_t		 vm_dend;		/* m: break */
	vaddr_t		 vm_minsaddr;		/* m: the stack's top; 0: there is none */
	vaddr_t		 vm_maxsaddr;		/* m: how far down it can ever come */
	vsize_t		 vm_ssize;		/* m: bytes of it that may be accessed, from the top */
};

/* Resource limits: bytes, or none. */
enum { URLIMIT_DATA, URLIMIT_STACK, URLIMIT_MEMLOCK, URLIMIT_AS, URLIMIT_N };
#define	URLIM_INFINITY	UINT64_MAX

/*	@  map(W) of the process' address space to write, atomic to read without	*/
struct urlimit {
	uint64_t	 rl_cur;		/* @: what is enforced */
	uint64_t	 rl_max;		/* @: how far it may be raised */
};

#define	PROC_ALIVE	0x50524f43u

/*	l  proc table lock	:  stable after creation	*/
struct proc {
	uint32_t	 p_pid;			/* : */
	uint32_t	 p_alive;		/* : PROC_ALIVE until a grace period after its end */
	char		 p_name[32];		/* : */
	struct vmspace	*p_vmspace;		/* l to write; own threads may read */
	int		 p_refs;		/* @ table's, threads', finders' */
	bool		 p_shares;		/* l: runs in its parent's address space, and that waits */
	struct urlimit	 p_rlimit[URLIMIT_N];
	bool		 p_nomem;		/* @ a trap of it found no memory: a kernel would have killed it */
	bool		 p_killed;		/* @ it is on its way out, and everybody waits for what it has */
	struct rcu_head	 p_rcu;
	struct proc	*p_hash;		/* l to write, RCU to read */
	LIST_ENTRY(proc) p_waited;		/* l: whoever has made it by vfork waits */
};

/* => a process with an empty address space; may sleep; ENOMEM */
int	proc_create(const char *name, struct proc **);
/* => child with a copy of parent's address space by the entries' inheritance; sleeps;
 *    no thread in it yet.  The parent's other threads may run meanwhile.
 *    ENOMEM: there is none, and none to be had */
int	proc_fork(struct proc *parent, const char *name, struct proc **childp);
/*
 * => a child in its parent's own address space (uvmspace_share), until it execs or exits; no
 *    thread in it yet.  With a reference, which proc_vfork_wait() gives back.
 */
int	proc_vfork(struct proc *parent, const char *name, struct proc **childp);
/* => the child has an address space of its own, or none; sleeps until then, nothing locked.
 *    Who has made it must wait: it stores to what is his. */
void	proc_vfork_wait(struct proc *child);
/* For the inspector: a parent that sleeps though its child does not share any more; or NULL. */
struct lwp *proc_vfork_forgotten(void);
/* => does it run in the address space of its parent?  At rest, or a hint */
bool	proc_shares(const struct proc *);
/*
 * => p is to end, for want of memory: its LWPs may still be in the kernel, and must not wait there for
 *    memory that only its end sets free.  So they take the reserve (R35), as FreeBSD's P_KILLED does,
 *    and it forks no more (ENOMEM).  Any context, does not sleep
 */
void	proc_kill(struct proc *);
bool	proc_killed(const struct proc *);
/* => is the current LWP one of such a process? */
bool	proc_dying(void);
/* => all LWPs of it are gone (or it is the caller, detached): frees the address space */
void	proc_exit(struct proc *);
/* => by pid with a reference, RCU inside; proc_rele() */
struct proc *proc_find(uint32_t pid);
void	proc_rele(struct proc *);		/* thread context; frees with the last, after a grace period */
uint64_t proc_count(void);		/* exact when nothing runs */
/* => calls fn for every process, in order of pid, with a reference and no lock held; processes
 *    that come and go meanwhile may be missed (the inspectors call it at rest) */
void	proc_foreach(void (*fn)(struct proc *, void *), void *);
/* => likewise, for every address space of a process, once: not for the child of vfork that is in its parent's */
void	vmspace_foreach(void (*fn)(struct vmspace *, void *), void *);
/* => its address space, to be given back by uvmspace_free(); NULL: it is exiting */
struct vmspace *proc_vmspace_hold(struct proc *);
/* => the current LWP runs in p from now on (NULL: in none); switches l_pmap and activates it */
void	proc_attach(struct proc *);
/* => an LWP of the process, as lwp_create(), attached before fn runs */
int	proc_lwp_create(struct proc *, struct lwp **, const char *name, void (*)(void *), void *);

/* => thread context, nothing held; sleeps for memory, never NULL; one reference */
struct vmspace *uvmspace_alloc(vaddr_t min, vaddr_t max);
/* => thread context, nothing held; with the last reference all mappings go */
void	uvmspace_free(struct vmspace *);
struct vmspace *uvmspace_fork(struct vmspace *);	/* uvm-spec 1.15; parent's map(W) inside */
struct vmspace *uvmspace_share(struct vmspace *);	/* one more process in it; the caller is one */
/* => no mappings are left; what others share is left to them, and p has another address space.
 *    p's only LWP, or none of it runs */
void	uvmspace_exec(struct proc *);
/* => likewise: p gets vm, the reference to the one before is given back; nobody is in vm yet */
void	proc_newspace(struct proc *, struct vmspace *vm);
/*
 * After uvmspace_exec(): a stack at the top of p's address space, zeroes, of RLIMIT_STACK bytes; below it,
 * down to the largest RLIMIT_STACK that p can have, addresses that nobody may access.
 * => nothing locked; p's only LWP.  0; ENOMEM, and there is none
 */
int	exec_setup_stack(struct proc *p);
uint64_t vmspace_count(void);

void	uvm_proc_init(void);
void	uvm_proc_fini(void);

/*
 * --- system calls (uvm-spec 16): act on p, 0 or POSIX errno ---
 * => thread context, nothing held; take p's map lock themselves; sleep, for memory too
 * => p is not exiting
 */
#define	UMAP_SHARED	0x0001
#define	UMAP_PRIVATE	0x0002
#define	UMAP_FIXED	0x0010
#define	UMAP_ANON	0x1000
#define	UMAP_WIRED	0x0800
#define	UF_READ		1		/* how the file was opened */
#define	UF_WRITE	2
#define	UMS_ASYNC	1
#define	UMS_INVALIDATE	2
#define	UMS_SYNC	4
#define	UMADV_NORMAL	0
#define	UMADV_RANDOM	1
#define	UMADV_SEQUENTIAL 2
#define	UMADV_WILLNEED	3
#define	UMADV_DONTNEED	4
#define	UMADV_SPACEAVAIL 5
#define	UMADV_FREE	6
#define	UMCL_CURRENT	1
#define	UMCL_FUTURE	2

/*
 * => len 0: nothing is mapped; EINVAL: flags, or FIXED at an address that is not the file's offset, or too
 *    low; EBADF: no file; EACCES: more than it was opened for; EOVERFLOW, EFBIG: it ends too high; ENOMEM
 */
int	sys_mmap(struct proc *, vaddr_t *addr, vsize_t len, int prot, int flags,
	    struct vnode *, int fflags, voff_t pos);
/* => EINVAL, here and in the next ones: not all of it is user space; ENOMEM: no room to split an entry */
int	sys_munmap(struct proc *, vaddr_t, vsize_t);
/* => and EACCES: more than the mapping may ever have; ENOMEM also: mlockall() could not wire it */
int	sys_mprotect(struct proc *, vaddr_t, vsize_t, int prot);
int	sys_minherit(struct proc *, vaddr_t, vsize_t, int inherit);
/* => ENOMEM: a hole (DONTNEED, FREE); EBUSY: FREE of what is wired */
int	sys_madvise(struct proc *, vaddr_t, vsize_t, int behav);
/* => len 0: the whole entry there; ENOMEM: a hole; EBUSY: INVALIDATE of what is wired; errors of I/O */
int	sys_msync(struct proc *, vaddr_t, vsize_t, int flags);
/* => a byte of kvec for each page, 1: it is in memory; ENOMEM: a hole, kvec says so much as comes before it */
int	sys_mincore(struct proc *, vaddr_t, vsize_t, unsigned char *kvec);
/* => EAGAIN: more than may be wired; ENOMEM: a hole, or no memory */
int	sys_mlock(struct proc *, vaddr_t, vsize_t);
int	sys_munlock(struct proc *, vaddr_t, vsize_t);
/* => CURRENT: as mlock() of all that there is; EINVAL: flags */
int	sys_mlockall(struct proc *, int flags);
int	sys_munlockall(struct proc *);
/* => EINVAL: below the heap's start; ENOMEM: something is in the way, or no memory */
int	sys_obreak(struct proc *, vaddr_t newbreak);
/* => *newva: where to if fixed, where it is on return; EFAULT: a hole; E2BIG, EINVAL, ENOMEM; all is as before */
int	sys_mremap(struct proc *, vaddr_t old, vsize_t oldsize, vaddr_t *newva, vsize_t newsize,
	    bool fixed);
/*
 * Pass [va, va+len) of one process to another, at *newva or where there is room (0): shared, or
 * moved.  => 0; EINVAL; ENOMEM; ESRCH: one of them is exiting
 */
int	sys_extract(struct proc *src, vaddr_t va, vsize_t len, struct proc *dst, vaddr_t *newva,
	    bool move);
/*
 * A debugger's access to p's memory, with all rights that p's mappings could ever have.
 * => *len bytes of buf, a kernel address; as many were moved on return, also on error
 * => 0; ESRCH; EFAULT: nothing is mapped there; what a fault there answers
 */
int	sys_ptrace_io(struct proc *p, vaddr_t, void *buf, size_t *len, bool write);
/*
 * => EINVAL: no such limit, or more than its own maximum; EPERM: the maximum would rise; STACK: as
 *    mprotect(), for the stack grows and shrinks with its limit.  An error has changed nothing
 * => AS lower than what is mapped takes nothing away: nothing more is mapped
 */
int	sys_setrlimit(struct proc *, int which, struct urlimit);
int	sys_getrlimit(struct proc *, int which, struct urlimit *);
/* => map an aobj shared, as shmat(2) does; takes a reference of its own */
int	sys_shmat(struct proc *, struct uvm_object *, vaddr_t *addr, vm_prot_t);

#endif /* UVM_UVM_PROC_H */
