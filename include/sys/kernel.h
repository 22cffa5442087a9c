/*
 * Boot, panic and the two upcall tables of the kernel floor.
 */
#ifndef SYS_KERNEL_H
#define SYS_KERNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct lwp;
struct cpu_info;

/*
 * What the kernel floor asks of the floors above.  Set once before kern_boot().
 * => cpu_switch: the CPU changes its LWP; called on the incoming LWP's CPU with
 *    no lock held but interrupts blocked.  to->l_idle: the CPU goes idle, the
 *    machine floor must leave every pmap's CPU set and drop its TLB.  from is a
 *    name only: it may run elsewhere by now.
 * => userret: an LWP with an l_addr is about to return to user mode; nothing is held, it
 *    may sleep.
 */
struct kern_upcall {
	void	(*cpu_switch)(struct cpu_info *, struct lwp *from, struct lwp *to);
	void	(*userret)(struct lwp *);
};

/* Read at boot, and copied. */
struct kern_config {
	int		 kc_ncpu;
	uint64_t	 kc_seed;
	bool		 kc_signals;		/* interrupts at any instruction, see <sys/intr.h> */
	unsigned	 kc_clock;		/* steps between two ticks of a CPU, see <sys/clock.h>; 0: none */
	uint64_t	 kc_history;		/* events that each CPU remembers, at least, see <sys/kernhist.h>; or 0 */
	bool		 kc_detail;		/* of all kinds, those that each fault has included */
	bool		 kc_hash;		/* every event goes into kernhist_hash() */
	struct kern_upcall kc_upcall;
};

/*
 * => after kern_boot() the calling thread is lwp0 and holds CPU 0.
 * => kern_shutdown(): all other LWPs have exited; frees everything; the thread is
 *    no LWP any more.  A second boot in the same process works.
 * => errno of the host; ENOTSUP: kc_signals in a build of ThreadSanitizer's
 */
int	kern_boot(const struct kern_config *);
void	kern_shutdown(void);

/*
 * The failure sink.  panic() prints message, LWP, CPU, locks held and a
 * libunwind backtrace, hands the same to the sink if there is one, and aborts.
 */
enum violation_kind {
	VIOL_LOCK_ASSERTION, VIOL_LOCK_ORDER, VIOL_INTERRUPT_CONTEXT, VIOL_INVARIANT,
	VIOL_CONTENT, VIOL_TLB, VIOL_HANG, VIOL_LEAK, VIOL_PANIC, VIOL_CRASH,
	VIOL_COUNT
};
extern const char *const violation_kind_name[VIOL_COUNT];

#define	VIOL_SUBJECTS	4
struct violation_subject {
	unsigned		 vs_what;	/* enum kern_subject, <sys/kernhist.h> */
	uint32_t		 vs_id;		/* its number */
	const void		*vs_object;	/* or NULL: reports look, and trust nothing */
};

/* All fields: whoever found it, until the sink returns. */
struct violation {
	enum violation_kind	 v_kind;
	const char		*v_id;		/* rule or check, e.g. "I-PMAP-6" */
	char			 v_message[512];
	bool			 v_fatal;	/* panic: aborts whatever the sink answers */
	int			 v_cpu;		/* -1: no CPU */
	const char		*v_lwp;		/* name, or "" */
	const struct lwp	*v_who;		/* or NULL; its structure lasts */
	uint64_t		 v_when;	/* host_ticks() */
	int			 v_nsubjects;	/* what it is about, as far as its finder said */
	struct violation_subject v_subjects[VIOL_SUBJECTS];
	void			*v_stack[48];
	int			 v_nstack;
	int			 v_nheld;	/* locks held, as text */
	char			 v_held[16][96];
	const char		*v_details;	/* whatever else there is to say, or NULL */
	const char		*v_grade;	/* of a matter of lock order, else NULL */
	const char		*v_fingerprint;	/* by who found it, or NULL */
};

/* => called with the world still running, on the failing thread; returns true to go on. */
extern bool (*failure_sink)(const struct violation *);

void	panic(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* => report a violation of rule id; goes on if the sink says so, else aborts as panic(). */
void	violation(enum violation_kind, const char *id, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
/*
 * => the caller's next violation, panic or failed assertion is about that object too, of which
 *    reports show what it looks like and what happened to it.  KASSERT_ABOUT() says so for itself.
 */
void	violation_about(unsigned what, uint32_t id, const void *object);
/*
 * => as violation(), by the lock-order engine, which knows how sure it is and what makes two of
 *    them the same; nothing if this thread is about to report another failure
 */
void	violation_graded(enum violation_kind, const char *id, const char *grade,
	    const char *fingerprint, const char *message);
/* => likewise, of what leaves no way to go on */
void	panic_graded(enum violation_kind, const char *id, const char *grade, const char *fingerprint,
	    const char *fmt, ...) __attribute__((noreturn, format(printf, 5, 6)));
/*
 * The watchdog's: LWP l has hung, here is its stack.  As panic(); the caller is no LWP.
 * => details: everything else that is known, for the report
 */
void	kern_hang(const struct lwp *l, void *const *stack, int nstack, const char *details,
	    const char *fmt, ...) __attribute__((noreturn, format(printf, 5, 6)));
void	kern_assert_fail(const char *kind, const char *expr, const char *file, int line,
	    const char *func, const char *fmt, ...)
	    __attribute__((noreturn, format(printf, 6, 7)));

/*
 * KASSERT: O(1), always on.  KASSERTMSG prints values.  KDASSERT walks something
 * and is on with lock debugging.  The expression always type-checks.
 */
#define	KASSERT(e)	(__builtin_expect(!!(e), 1) ? (void)0 :				\
	kern_assert_fail("assertion", #e, __FILE__, __LINE__, __func__, NULL))
#define	KASSERTMSG(e, ...) (__builtin_expect(!!(e), 1) ? (void)0 :			\
	kern_assert_fail("assertion", #e, __FILE__, __LINE__, __func__, __VA_ARGS__))
#define	KASSERT_ABOUT(e, what, id, object) (__builtin_expect(!!(e), 1) ? (void)0 :	\
	(violation_about(what, id, object),						\
	kern_assert_fail("assertion", #e, __FILE__, __LINE__, __func__, NULL)))
#define	KASSERTMSG_ABOUT(e, what, id, object, ...) (__builtin_expect(!!(e), 1) ? (void)0 :	\
	(violation_about(what, id, object),						\
	kern_assert_fail("assertion", #e, __FILE__, __LINE__, __func__, __VA_ARGS__)))
#include <uvmstress_config.h>
#define	KDASSERT(e)	(!UVMSTRESS_LOCKDEBUG || __builtin_expect(!!(e), 1) ? (void)0 :	\
	kern_assert_fail("debug assertion", #e, __FILE__, __LINE__, __func__, NULL))

/* RCU of the kernel floor: callbacks run on the "rcu" LWP, in order, and may sleep. */
/* The caller's until call_rcu(), then RCU's until rh_func is called. */
struct rcu_head {
	struct rcu_head	*rh_next;
	void		(*rh_func)(struct rcu_head *);
};
/* => a reader's section: no sleep, no yield, no return to user mode inside; each panics. */
void	rcu_read_lock(void);
void	rcu_read_unlock(void);
/* => thread context, no spin lock held; fn runs after all sections that exist now have ended. */
void	call_rcu(struct rcu_head *, void (*)(struct rcu_head *));
void	rcu_barrier(void);		/* => sleeps until all earlier callbacks have run */

#endif /* SYS_KERNEL_H */
