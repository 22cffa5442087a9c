/*
 * Event histories, after kernhist(9): what each CPU did last, for reports and for the hash of a
 * controlled run.
 *
 * Each CPU has a ring of binary events.  An event has a kind (<sys/kernhist.def>), one or two
 * subjects and a word: numbers, never addresses, so that one seed writes one history.  Subjects
 * are named by their birth numbers (a page by its frame's, an anon by that of its memory).
 *
 * kernhist_log() is the only way in.  It costs a load and two predictable branches when the
 * kind is off, else one store of 32 bytes to the own CPU's ring besides, without a locked
 * instruction.  A handler that interrupts it gets a slot of its own.  Race detectors know
 * nothing of the rings (host/race.h): they order nothing and are read while they are written.
 */
#ifndef SYS_KERNHIST_H
#define SYS_KERNHIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <host/host.h>
#include <sys/cpu.h>

/* What an event can be about. */
enum kern_subject {
	KS_none, KS_page, KS_anon, KS_amap, KS_map, KS_object, KS_pmap, KS_lwp, KS_cpu, KS_slot,
	KS_pool, KS_proc,
	KS_va,			/* of no event: an address of the LWP's process, see violation_about() */
	KS_COUNT
};
extern const char *const kern_subject_name[KS_COUNT];

enum kern_event {
#define	KERN_EVENT(name, when, first, second, ...)	KE_##name,
#include <sys/kernhist.def>
#undef KERN_EVENT
	KE_COUNT
};
enum { KERNHIST_always, KERNHIST_coarse, KERNHIST_detail };
/* A bit for each kind that is written only if asked for ... */
static const uint64_t kernhist_detail = 0
#define	KERN_EVENT(name, when, ...)	| (uint64_t)(KERNHIST_##when == KERNHIST_detail) << KE_##name
#include <sys/kernhist.def>
#undef KERN_EVENT
    ;
/* ... and for each that has the time of the event before it. */
static const uint64_t kernhist_coarse = 0
#define	KERN_EVENT(name, when, ...)	| (uint64_t)(KERNHIST_##when != KERNHIST_always) << KE_##name
#include <sys/kernhist.def>
#undef KERN_EVENT
    ;
_Static_assert(KE_COUNT <= 64, "kernhist.kinds has one bit for each kind");

/* One event.  Fields as of the ring that it is in; outside of one it is a copy. */
struct kern_history_ent {
	uint64_t	 ke_when;	/* host_ticks(), or a little before */
	uint64_t	 ke_word;
	uint32_t	 ke_first;	/* number of the first subject */
	uint32_t	 ke_second;	/* of the second one; or just a number */
	uint32_t	 ke_lwp;	/* l_id; of an interrupt, whom it interrupted */
	uint8_t		 ke_kind;	/* enum kern_event */
	uint8_t		 ke_intr;	/* depth of interrupts */
	uint16_t	 ke_cpu;	/* the reader's: in a ring it goes without saying */
};
_Static_assert(sizeof(struct kern_history_ent) == 32, "two events in a cache line");

/* One CPU's ring.  All of it: only the LWP that holds the CPU, and its handlers; read @. */
struct kern_history {
	uint64_t	 kh_bytes;	/* of all events so far */
	uint64_t	 kh_now;	/* host_ticks() when it was last looked at */
	struct kern_history_ent kh_ents[] __attribute__((aligned(64)));
};

/* Set before any CPU runs; kinds also by kernhist_stop(). */
extern struct kernhist {
	uint64_t	 kinds;		/* @ bit per enum kern_event that is written at once */
	uint64_t	 mask;		/* : bytes of a ring - 1 */
	bool		 fold;		/* @ every event goes into the hash: none is written at once */
	/* : under a controlled schedule, on whom it happens to, in the function that says so; or NULL */
	void	       (*told)(const struct kern_history_ent *);
} kernhist;

/* WORD of fault_exit, beside the address */
enum { KERNHIST_NOT, KERNHIST_1A, KERNHIST_1B, KERNHIST_2A, KERNHIST_2B, KERNHIST_ZERO,
	KERNHIST_BY_OBJECT };
#define	KERNHIST_FAILED	0x800		/* WORD of pmap_enter, likewise */
#define	KERNHIST_ANY	UINT32_MAX

/* => what there is to do when the hash is on: into it, and into the ring if there is one */
void	kernhist_fold_event(struct cpu_info *, uint32_t lwp, enum kern_event, uint32_t first,
	    uint32_t second, uint64_t word);

#if UVMSTRESS_TSAN && !defined(KERNHIST_HERE)
void	kernhist_write(struct cpu_info *, uint32_t lwp, enum kern_event, uint32_t first,
	    uint32_t second, uint64_t word);	/* kern_hist.c has it, which is bare */
#else
#if UVMSTRESS_TSAN
void	kernhist_write(struct cpu_info *, uint32_t, enum kern_event, uint32_t, uint32_t, uint64_t);
void
#else
static inline __attribute__((always_inline)) void
#endif
kernhist_write(struct cpu_info *ci, uint32_t lwp, enum kern_event kind, uint32_t first,
    uint32_t second, uint64_t word)
{
	struct kern_history *kh = ci->ci_history;
	uint64_t at = sizeof(struct kern_history_ent);
	struct kern_history_ent *ke;

	/* One instruction, so a handler of this CPU comes before or after; nobody else writes. */
	__asm__ volatile("xaddq %0, %1" : "+r" (at), "+m" (kh->kh_bytes) : : "cc");
	ke = (struct kern_history_ent *)(void *)((char *)kh->kh_ents + (at & kernhist.mask));
	ke->ke_word = word;
	ke->ke_first = first;
	ke->ke_second = second;
	ke->ke_lwp = lwp;
	ke->ke_kind = (uint8_t)kind;
	ke->ke_intr = (uint8_t)ci->ci_idepth;
	if ((kernhist_coarse >> kind & 1) == 0)
		kh->kh_now = host_ticks();
	/* release: pairs with the acquire in kernhist_copy(), which knows by the time what is whole */
	__atomic_store_n(&ke->ke_when, kh->kh_now, __ATOMIC_RELEASE);
}
#endif

/*
 * => as kernhist_log(), where the LWP's own l_cpu may be another's already
 */
static inline __attribute__((always_inline)) void
kernhist_log_on(struct cpu_info *ci, uint32_t lwp, enum kern_event kind, uint32_t first,
    uint32_t second, uint64_t word)
{
	/* relaxed: who sees the end of it late writes a few more */
	if (__builtin_expect((__atomic_load_n(&kernhist.kinds, __ATOMIC_RELAXED) >> kind & 1) != 0, 1))
		kernhist_write(ci, lwp, kind, first, second, word);
	else if (__builtin_expect(__atomic_load_n(&kernhist.fold, __ATOMIC_RELAXED), 0))
		kernhist_fold_event(ci, lwp, kind, first, second, word);
}

/* => the caller is an LWP that holds a CPU, or its handler; any IPL, any lock; never sleeps. */
static inline __attribute__((always_inline)) void
kernhist_log(enum kern_event kind, uint32_t first, uint32_t second, uint64_t word)
{
	kernhist_log_on(curcpu(), curlwp->l_id, kind, first, second, word);
}

/*
 * kernhist_boot: => before any CPU runs: rings of at least so many events, or 0: none are written;
 *    detail: of all kinds.  fold: every event goes into the hash.  0 or ENOMEM.
 * kernhist_fini: => nothing runs any more
 * kernhist_stop: => nothing is written or folded any more: the rings keep what led up to this
 */
int	kernhist_boot(uint64_t events, bool detail, bool fold);
void	kernhist_fini(void);
void	kernhist_stop(void);

/* => of all events so far, in the order of the one LWP that ran; and a number into it */
uint64_t kernhist_hash(void);
void	kernhist_fold(uint64_t);

/*
 * kernhist_copy: => the newest events of a CPU, oldest first, at most max; their number.  The CPU
 *    may run: what it overwrites meanwhile is left out.  Signal-safe.
 * kernhist_say: => "fault_enter map 7 at 0x1000 ...": what happened, to whom.  Signal-safe.
 * kernhist_about: => is this event about that subject?
 * kernhist_at: => does it name that page of a map, or of its pmap, by its address?  Or of KERNHIST_ANY map
 * kernhist_tick_ns: => how long a tick is, in ns: an estimate, so one for all events that are compared
 */
size_t	kernhist_copy(const struct cpu_info *, struct kern_history_ent *, size_t max);
void	kernhist_say(const struct kern_history_ent *, char *buf, size_t len);
bool	kernhist_about(const struct kern_history_ent *, enum kern_subject, uint32_t id);
bool	kernhist_at(const struct kern_history_ent *, uint32_t map, uint32_t pmap, uint64_t va);
/* => first and second subject of a kind */
void	kernhist_subjects(enum kern_event, enum kern_subject *first, enum kern_subject *second);
double	kernhist_tick_ns(void);
const char *kernhist_kind_name(enum kern_event);

#endif /* SYS_KERNHIST_H */
