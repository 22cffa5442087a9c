/*
 * The host floor: every downcall from the simulated kernel to the machine
 * that really runs it.  Threads, parking, the clock, memory, randomness and
 * files all pass here and nowhere else, so that one seam decides everything
 * that could differ between two runs.
 *
 * Nothing in here knows of LWPs, CPUs or virtual memory.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <uvmstress_config.h>

/*
 * Threads.  A host thread owns one parking token: host_unpark() sets it,
 * host_park() waits for it and consumes it.  Tokens do not count: two unparks
 * before a park wake it once.
 */
struct host_thread;

/* => 0, or the errno of pthread_create().  name is copied, 15 bytes are shown by the host. */
int	host_thread_create(struct host_thread **, const char *name, void (*fn)(void *),
	    void *arg);
/* => the same; fn begins with host_park(), so it need not begin before the first host_unpark() */
int	host_thread_create_parked(struct host_thread **, const char *name, void (*fn)(void *),
	    void *arg);
/*
 * => the same; a schedule (host/sched.h) neither knows nor controls it: real time, and of the
 *    machine's threads it may neither unpark one nor be waited for by one but in host_thread_join()
 */
int	host_thread_create_beside(struct host_thread **, const char *name, void (*fn)(void *),
	    void *arg);
/* => waits until the thread's function has returned, then frees the handle. */
void	host_thread_join(struct host_thread *);
/* => a handle for the calling thread, made on first use (main thread, tests). */
struct host_thread *host_thread_self(void);
/* => wait for the token.  Acquires what the unparker released. */
void	host_park(void);
/* => as host_park() until the deadline (host_now_ns() scale); false = timed out. */
bool	host_park_until(uint64_t deadline_ns);
void	host_unpark(struct host_thread *);

/*
 * One turn of a spin loop: pause instructions at first, then sched_yield() so
 * that more simulated CPUs than host cores still make progress.  *spins starts
 * at 0.  Yields are counted in host_spin_yields().
 */
void	host_relax(unsigned *spins);
/*
 * => the same, of who wants a lock: threads that compute are not asked to give way (host_give_way()).  If
 *    many want it, its holder has its turn soon, for they all yield; if few do, all others would leave warm
 *    caches for those few.
 */
void	host_spin(unsigned *spins);
uint64_t host_spin_yields(void);
/*
 * Called often by threads that compute, never by those that spin: yields the
 * host's core while a spinning thread asks for it (host_relax()).  Without it, who spins for a
 * thread that has no core waits for the time slices of all that have one; with it,
 * for a round of yields (a cross call to 8 busy CPUs on 2 cores: 44 ms, 0.02 ms).
 */
extern int host_ways_wanted;		/* atomic: so many yields may come before the spinner's turn */
void	host_give_way_now(void);
static inline void
host_give_way(void)
{
	/* relaxed: a request, made in host_relax() */
	if (__builtin_expect(__atomic_load_n(&host_ways_wanted, __ATOMIC_RELAXED) > 0, 0))
		host_give_way_now();
}

/*
 * => how many of the host's cores this process may run on, now, before it has threads; and which of
 *    them runs the caller, from 0 on: a hint, for it may be another at once
 */
unsigned host_ncores(void);
unsigned host_core(void);

/*
 * The doorbell: how one thread interrupts another at any instruction.
 *
 * host_ring() sends the thread a signal; its handler calls the one function that was
 * installed, on the thread's own stack, wherever it was.  Some sections must not be
 * interrupted there: those that hold a raw lock, those between two CPUs, calls of
 * libraries that know nothing of us.  They are masked: the ring is remembered, and
 * answered when the section is left.  Masks nest.
 *
 * A thread is masked by nobody but itself, and a signal handler leaves the depth as it
 * found it, so no atomic is needed; the compiler must not move anything across.
 */
struct host_gate {
	unsigned	hg_masked;	/* masked sections that the thread is in */
	bool		hg_access;	/* likewise, a simulated access: does not nest, costs a store */
	bool		hg_rung;	/* the bell rang in there */
};
extern __thread struct host_gate host_gate __attribute__((tls_model("local-exec")));

/* => fn answers from now on, NULL: nobody; while no other thread runs.  ENOTSUP: this build
 *    cannot (ThreadSanitizer puts signals off until it likes) */
int	host_bell_install(void (*fn)(void));
/* => the calling thread's name for host_ring(); any number that never was one is harmless */
int	host_bell_id(void);
void	host_ring(int id);
/* => the bell rang: call fn unless masked; see host_unmask() */
void	host_answer(void);

#if UVMSTRESS_TSAN
void	host_mask(void);
void	host_unmask(void);
void	host_access_begin(void);
void	host_access_end(void);
bool	host_masked(void);
#else
#include <host/gate.h>
#endif

/*
 * => counts: the calling thread, and whoever interrupts it, writes the number (a CPU's own); others read
 *    it, relaxed.  One instruction, so no interrupt comes in the middle; of numbers like that race
 *    detectors need to know nothing
 */
static inline void
host_count(uint64_t *counter, uint64_t n)
{
#if defined(__x86_64__)
	__asm__ volatile("addq %1, %0" : "+m" (*counter) : "er" (n) : "cc");
#else
	host_mask();
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
	host_unmask();
#endif
}

/*
 * Raw spin lock for the few words below mutex(9): sleep queue chains, run
 * queues.  Never held across anything that can block; its holder is masked.
 */
struct host_lock {
	int hl_word;			/* 0 free, 1 held; atomic */
};
#define	HOST_LOCK_INITIALIZER	{ 0 }
void	host_lock(struct host_lock *);
bool	host_trylock(struct host_lock *);
void	host_unlock(struct host_lock *);
bool	host_lock_held(const struct host_lock *);	/* by anybody: for assertions */

/* Monotonic clock, nanoseconds; of a schedule if the caller is under control (host/sched.h). */
uint64_t host_now_ns(void);
/* => the processor's own counter: cheap, alike on all cores, of no known unit; for histories alone */
static inline uint64_t
host_ticks(void)
{
	return __builtin_ia32_rdtsc();
}
/* => the host's in any case: for reports alone, nothing may depend on it */
uint64_t host_wall_ns(void);
/* => what the process has had of the host's cores, likewise */
uint64_t host_cpu_ns(void);

/*
 * Random numbers (xoshiro256**).  Every stream derives from the run's seed and
 * a stream number, so that the order in which streams are made does not matter.
 */
struct host_rng {
	uint64_t s[4];
};
void	 host_rng_init(struct host_rng *, uint64_t seed, uint64_t stream);
uint64_t host_rng_next(struct host_rng *);
/* => uniform in [0, n), n > 0. */
uint64_t host_rng_below(struct host_rng *, uint64_t n);
/* => true with probability p. */
bool	 host_rng_chance(struct host_rng *, double p);
/* => a seed from the operating system. */
uint64_t host_rng_seed(void);

/*
 * Memory.  Page aligned, zeroed; NULL with errno when the host has not got it.  From 2 MiB on in huge
 * pages if the host has any, so that simulated RAM and its page structures, which are touched all
 * over, cost the host few faults and the processor few walks of its page table; else in small ones.
 * Resident is what was touched, to the next 2 MiB.  A schedule keeps what it gives back, cleared, for
 * the next one.
 */
void	*host_mem_map(size_t bytes);
/* => the same, of which race detectors are not told: for ever, and for bare files alone, whose
 *    own locks they do not know either */
void	*host_mem_map_bare(size_t bytes);
void	 host_mem_unmap(void *, size_t bytes);
/* => len bytes copied, or false: some of them are no memory.  For reports on a broken machine; signal-safe. */
bool	 host_mem_read(void *dst, const void *src, size_t len);
/* => resident set of this process, in bytes. */
size_t	 host_mem_resident(void);

/*
 * Files.  host_file_temp: => a file of so many bytes without a name, in dir (NULL: $TMPDIR; without
 * that /tmp, or memory if the threads are controlled); host_file_open: => an existing regular file, ENXIO for any other.  0 or errno.
 */
struct host_file_info {
	uint64_t hf_bytes;
	uint64_t hf_dev, hf_ino;	/* together: which file it is */
};
int	host_file_temp(const char *dir, uint64_t bytes, int *fdp);
int	host_file_open(const char *path, int *fdp, struct host_file_info *);
void	host_file_close(int fd);
/* => blocks for a range, which reads as zeroes where there were none; 0, ENOSPC, EDQUOT, EFBIG, EIO.
 *    A file system that knows no such thing: 0.  The file's size stays. */
int	host_file_alloc(int fd, uint64_t off, uint64_t bytes);
/* => is some of the range without blocks, or beyond the file's end? */
bool	host_file_hole(int fd, uint64_t off, uint64_t bytes);
/* => cut to bytes if it is longer, as far as the host does it */
void	host_file_limit(int fd, uint64_t bytes);

/*
 * Crashes of the process (bad address, illegal instruction, division, abort()): fn is called on
 * the thread that crashed, on a stack of its own, with where it was; it does not return.  NULL: as
 * the host does it.  Under a sanitizer this does nothing: it reports crashes itself, and better.
 * host_abort: abort(), which is no crash to be reported.
 */
void	host_catch_crashes(void (*fn)(int sig, void *addr, void *const *pcs, int n));
void	host_abort(void) __attribute__((noreturn));

/*
 * Last words, should a report crash or take for ever: fn is called once, on any thread, with any
 * lock held, and may use system calls only; then the process ends with status 1.  kind and message:
 * what host_dying() was told, or "hang" and the alarm's text; why: why there is no more; pcs: where it
 * crashed, if it did.  host_speak_last: they are spoken now, if they have not been.
 * host_dying: => a failure is about to be reported, and has a minute for it
 */
typedef void (*host_last_words_t)(const char *kind, const char *message, const char *why,
	    void *const *pcs, int n);
void	host_last_words(host_last_words_t fn);
void	host_dying(const char *kind, const char *message);
void	host_speak_last(const char *why);

/*
 * Between the two the calling thread reads what others may be writing: for a report, when
 * nothing is to be lost any more.  ThreadSanitizer is told.
 */
void	host_racy_begin(void);
void	host_racy_end(void);

/*
 * The last resort.  host_alarm(ns, what): unless it is called again within so long, the process
 * ends with status 1, last words and one line that says what; 0: never.  Whatever the threads do: a
 * timer of the host's and a signal.  One alarm for the process; host_dying() has the last one.
 */
void	host_alarm(uint64_t ns, const char *what);

/* Backtraces by libunwind.  host_backtrace_init() warms the caches before threads start. */
#define	HOST_BACKTRACE_MAX	48
void	host_backtrace_init(void);
int	host_backtrace(void **pcs, int max, int skip);
/* => the same of another thread that lives, whatever it does: it is asked by a signal, and has
 *    a second to answer; 0: it has not, or ThreadSanitizer, which puts signals off, is there.
 *    Or another caller is at it. */
int	host_thread_backtrace(struct host_thread *, void **pcs, int max);
/* => where an address lies: a program or library, whose strings last; the address in its file; NULL
 *    or its build id in hexadecimal.  false: in none.  For reports */
struct host_module {
	const char *hm_path, *hm_build_id;
	uint64_t hm_offset;
};
bool	host_module(const void *pc, struct host_module *);
/* => "function+0x12 (file:line when known)"; async-unsafe, for reports. */
void	host_symbolise(void *pc, char *buf, size_t len);

#endif /* HOST_HOST_H */
