/*
 * What the engine and the workloads share: jobs, their processes, their
 * workers, and verified access to simulated memory.
 */
#ifndef WORKLOADS_ENGINE_INT_H
#define WORKLOADS_ENGINE_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <host/sched.h>
#include <harness/content.h>
#include <harness/profile.h>
#include <harness/workload.h>
#include <machine/softmmu.h>
#include <uvm/uvm_extern.h>

/*
 * One simulated address space of a job.
 *	:  stable after set-up		k  engine_kill_lock
 *	:k  changed only while all of the process's workers are parked
 */
struct job_proc {
	struct proc	*jp_proc;		/* :k */
	unsigned	 jp_index;		/* : */
	unsigned	 jp_nthreads;		/* : */
	struct shadow	 jp_shadow;		/* : private_model(); each word: the thread whose it is */
	void		*jp_private;		/* : the workload's */
	unsigned	 jp_running;		/* k: workers that have not left for good */
	unsigned	 jp_parked;		/* k: of which stand still, for it was killed */
	unsigned	 jp_kills;		/* k: times that it was replaced */
};

/*
 *	:  stable after set-up		!  only this worker; reports read it with relaxed atomics
 */
struct job_worker {
	struct job_run	*jw_run;		/* : */
	unsigned	 jw_index;		/* : in the job */
	struct job_proc	*jw_proc;		/* : */
	unsigned	 jw_thread;		/* : in the process */
	struct lwp	*jw_lwp;		/* : */
	struct host_rng	 jw_rng;		/* ! */
	uint64_t	 jw_seq;		/* ! its stores, for private_value() */
	uint64_t	 jw_ops;		/* ! operations done */
	uint64_t	 jw_verified;		/* ! bytes read and found right */
	void		*jw_private;		/* ! the workload's */
};

struct job_run {
	const struct job *jr_job;		/* : */
	unsigned	 jr_index;		/* : in the profile */
	uint64_t	 jr_seed;		/* : of this job */
	struct job_proc	*jr_procs;		/* : */
	unsigned	 jr_nprocs;		/* : */
	struct job_worker *jr_workers;		/* : */
	unsigned	 jr_nworkers;		/* : */
	unsigned	 jr_cost;		/* : quantum that an operation costs: weight */
	char		 jr_why[256];		/* set-up: why it failed, or empty */
	struct job_worker jr_self;		/* set-up, verify and teardown count here */
	void		*jr_private;		/* : the workload's */
};

/* => the run is to end: deadline, signal, violation.  Long operations ask often. */
bool	engine_stopping(void);
/* => ids for stamps: unique in the process, in the order asked. */
uint64_t engine_object_id(void);
/* => is I/O made to fail in this run?  Then EIO is an answer. */
bool	engine_io_fails(void);

/*
 * => set-up only: while the load runs, fn(arg) each ns of the machine's time (0: never), on an
 *    LWP of its own, which has no process and may sleep.
 */
void	engine_every(uint64_t ns, const char *name, void (*fn)(void *), void *arg);

/*
 * The user boundary of a long operation: lets interrupts and other LWPs in.
 * Engine calls it between operations itself.
 */
void	worker_userret(struct job_worker *);

/* => so many bytes were read and found right */
void	worker_verified(struct job_worker *, uint64_t bytes);

/* engine_kill.c, for the engine */
void	engine_kill_init(void);
void	engine_kill_fini(void);
/* => this worker's process found no memory (0: go on, with a fresh process perhaps; or errno) */
int	worker_nomem(struct job_worker *);
/* => between operations: another worker of the process may have met its end; 0 or errno */
int	worker_meet(struct job_worker *);
/* => this worker runs no more operations; 0 or errno */
int	worker_leave(struct job_worker *);

/*
 * Something is not as it must be: a violation of kind content, with the place.
 * => ends the run; returns EIO for the caller to pass on
 */
int	content_bad(struct job_worker *, const char *id, vaddr_t va, const char *fmt, ...)
	    __attribute__((format(printf, 4, 5)));

/*
 * Verified accesses; the current LWP is attached to the process.  va: 8-byte aligned.
 * => 0, or an errno after content_bad()
 */
int	private_store(struct job_worker *, const struct shadow *, vaddr_t);
int	private_check(struct job_worker *, const struct shadow *, vaddr_t);
/* => one of the two, as the job's write-fraction has it; in the process's own shadow */
int	private_touch(struct job_worker *, vaddr_t);
/* => load must give exactly want */
int	expect_word(struct job_worker *, vaddr_t, uint64_t want, const char *id);
/* => a region mapped at va: store the next stamp of writer, check the word of any writer */
int	coherent_store(struct job_worker *, struct coherent *, vaddr_t base, uint64_t page,
	    unsigned writer);
int	coherent_check(struct job_worker *, struct coherent *, vaddr_t base, uint64_t page,
	    unsigned writer);
/* => any access; must be refused with that errno */
int	expect_refusal(struct job_worker *, vaddr_t, bool write, int want);
/* => a call of the kernel that must succeed did not; ENOMEM is passed on: it changed nothing */
int	call_failed(struct job_worker *, const char *call, vaddr_t, int error);

/*
 * Run fn in a process, on an LWP of its own, while the caller sleeps: jw stays
 * exclusive.  => what fn returned, or an errno
 */
int	run_in_proc(struct job_worker *, struct proc *,
	    int (*fn)(struct job_worker *, void *), void *arg);
/* => fork the worker's process, run fn in the child, let the child exit. */
int	run_in_child(struct job_worker *, int (*fn)(struct job_worker *, void *), void *arg);
/* => likewise by vfork: fn begins in the worker's own memory, and may uvmspace_exec() */
int	run_in_vfork(struct job_worker *, int (*fn)(struct job_worker *, void *), void *arg);

/* => fn in each of the job's processes in turn, by the caller's own LWP; stops at an error */
int	visit_procs(struct job_run *, int (*fn)(struct job_worker *, struct job_proc *));
/*
 * The process' private memory: its model, jp_shadow, is zero from here on; that, and it is
 * mapped; and wl_verify of a workload that has no more to verify.
 */
int	private_model(struct job_proc *, vaddr_t base, vsize_t);
int	private_map(struct job_proc *, vaddr_t base, vsize_t);
int	private_verify(struct job_run *);
/* => every word of private memory that was ever stored to, against its model */
int	private_check_all(struct job_worker *, const struct shadow *);

/* => one of the operations of the worker's workload, drawn by weight, is done; what it returned */
int	worker_operation(struct job_worker *);
/* => the next access is to be a store, as the job's write-fraction says */
bool	draw_write(struct job_worker *);
/* => rights for a mapping: none, to read, or, as often as both, to read and write */
vm_prot_t draw_prot(struct job_worker *);

/* => a word of the page that belongs to this thread of its process, as private memory is dealt */
vaddr_t	own_word(struct job_worker *, vaddr_t base, uint64_t page);

/* => every word of every writer of a region mapped at base, against its model */
int	coherent_check_all(struct job_worker *, struct coherent *, vaddr_t base);
/* => a region of the job's own, with as many of its workers as writers as there can be */
int	coherent_make(struct job_run *, struct coherent *, uint64_t npages, bool file);

/* => mapped there, readable and writable, in place of what was there: zeroes; a file, shared */
int	map_private(struct proc *, vaddr_t, vsize_t);
int	map_shared(struct proc *, vaddr_t, vsize_t, struct vnode *);

/* => host file full of stamps, or of zeroes, as a vnode; 0 or errno of the host */
int	content_vnode(const char *name, uint64_t object, uint64_t size, struct vnode **);
int	zero_vnode(const char *name, uint64_t size, struct vnode **);
/* => what of it was stored to is in the host's file; 0, or an errno after content_bad() */
int	file_sync(struct job_worker *, struct vnode *);

struct run_options;
struct run_result;

/* => engine_run(), of one execution (engine.c) */
int	engine_execute(const struct profile *, const struct run_options *, struct run_result *);

/*
 * Delays of a free run, if the profile wants them (engine_chaos.c).
 * chaos_begin: => before the machine is up; 0, or EINVAL with a line in rr_error
 */
int	chaos_begin(const struct profile *, struct run_result *);
void	chaos_end(struct run_result *);

/*
 * A controlled schedule (engine_sched.c); nothing if the profile says free.
 * schedule_begin: => before the machine is up; 0, or an errno with a line in rr_error
 * schedule_note: => what there is to say of it so far goes into the result, in place of earlier notes
 * schedule_end: => the machine is down
 */
struct host_trace;
int	schedule_begin(const struct profile *, const struct run_options *, struct run_result *);
void	schedule_note(struct run_result *);
void	schedule_end(struct run_result *);

/*
 * What led to a violation of that fingerprint, by turns (engine_story.c).
 * story_leave: => host_sched_config.hsc_leave
 * story_event: => kernhist.told
 * story_found: => whoever found it, in its turn; any lock held
 * story_text: => for free(); NULL: it was not found
 */

struct kern_history_ent;
struct result_violation;
/* => is the frame the lock auditor's own (engine_found.c)?  Who asked it comes below */
bool	is_auditors(const char *frame);
void	story_begin(const char *about);
void	story_leave(enum host_choice, unsigned next);
void	story_event(const struct kern_history_ent *);
void	story_found(const struct result_violation *);
char	*story_text(void);
void	story_fini(void);

/*
 * engine_check.c, for the engine.
 * => start: the check LWP runs; 0 or errno.  end: the run is stopping, nothing is held; sleeps
 */
int	engine_check_start(const struct profile *, struct run_result *);
void	engine_check_end(void);
/*
 * => what the lock auditor saw goes into the result, once; nothing if it is off.  last: the run
 *    is over, and what is inferred from few wakeups may be judged
 */
void	engine_audit(struct run_result *, const struct profile *, bool last);

/*
 * The file of --waivers, for lock debugging to know at boot.
 * => 0; EINVAL and one line in *why, for free()
 */
int	waivers_load(const char *path, char **why);
void	waivers_free(void);

#endif /* WORKLOADS_ENGINE_INT_H */
