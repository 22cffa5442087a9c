/*
 * mutex(9): adaptive and spin mutexes, after NetBSD.
 *
 * MUTEX_DEFAULT at IPL_NONE or a soft IPL is adaptive: it spins while the
 * owner runs and sleeps otherwise.  At IPL_VM and above it spins and raises
 * the CPU's IPL; the IPL from before the first spin mutex comes back when the
 * last one is released.  No recursion.  The lock class is our addition to
 * mutex_init().
 */
#ifndef SYS_MUTEX_H
#define SYS_MUTEX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/cpu.h>
#include <sys/lockdebug.h>

typedef struct kmutex {
	uintptr_t	mtx_owner;	/* atomic: lwp | bit 0 waiters; 0 free */
	uint32_t	mtx_id;		/* birth number, stable */
	uint16_t	mtx_key;	/* LOCKORDER_KEY() of its class, IPL and kind, stable */
	uint8_t		mtx_class;	/* enum lock_class, stable */
	uint8_t		mtx_alive;	/* MUTEX_ALIVE between init and destroy */
} kmutex_t;

typedef enum kmutex_type { MUTEX_DEFAULT, MUTEX_SPIN, MUTEX_ADAPTIVE } kmutex_type_t;

/* => any context; nobody knows it yet.  Memory in which a mutex still lives is a panic (lock debugging) */
void	mutex_init(kmutex_t *, kmutex_type_t, ipl_t, enum lock_class);
/* => held by nobody, else a panic; its memory may be freed, or initialised again */
void	mutex_destroy(kmutex_t *);
/*
 * => adaptive: may sleep, not from interrupt, no spin mutex held.
 * => spin: any context to its IPL; the CPU's IPL is raised to it at least
 * => by its owner: a panic
 */
void	mutex_enter(kmutex_t *);
/*
 * => a second lock of a class whose locks nest so (CHILD in lockrank.def): parent is another one,
 *    held; or NULL: m is new, or about to go, and whoever else has it waits for none of its class
 */
void	mutex_enter_nested(kmutex_t *, const kmutex_t *parent);
/* => never sleeps or spins; false: somebody has it (or the injected fault tryfail says so) */
bool	mutex_tryenter(kmutex_t *);
/* => held by the current LWP; with the last spin mutex interrupts come in that waited */
void	mutex_exit(kmutex_t *);
/* => the same, of a spin mutex */
void	mutex_spin_enter(kmutex_t *);
void	mutex_spin_exit(kmutex_t *);
#define	MUTEX_WAITERS	1UL		/* bit of mtx_owner: somebody sleeps */

/* => an adaptive mutex at IPL_NONE does not count: see mutex_is_spin() */
static inline int
mutex_ipl(const kmutex_t *m)
{
	return LOCKORDER_KEY_IPL(m->mtx_key);
}

static inline bool
mutex_is_spin(const kmutex_t *m)
{
	return LOCKORDER_KEY_SPIN(m->mtx_key);
}

/*
 * => mutex_owned(), for whoever is inlined into.  A spin mutex belongs to the LWP, too: until it is
 *    released that LWP has its CPU, and a handler that comes in runs on it
 */
static inline bool
mutex_owned_word(const kmutex_t *m)
{
	/* relaxed: whoever owns it has written the word himself */
	return (__atomic_load_n(&m->mtx_owner, __ATOMIC_RELAXED) & ~MUTEX_WAITERS) ==
	    (uintptr_t)curlwp;
}

/* => by the current LWP */
#if UVMSTRESS_TSAN
bool	mutex_owned(const kmutex_t *);	/* kern_mutex.c: bare, see host/race.h */
#else
static inline bool
mutex_owned(const kmutex_t *m)
{
	return mutex_owned_word(m);
}
#endif

#endif /* SYS_MUTEX_H */
